CREATE ROLE clerk; CREATE ROLE auditor; CREATE ROLE shopkeeper;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO clerk, auditor, shopkeeper;
GRANT CREATE ON SCHEMA app TO shopkeeper;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO auditor;
CREATE TYPE app.mood AS ENUM ('calm', 'tense');
CREATE TABLE app.customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE app."Orders" (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer int NOT NULL,
  amount numeric(10,2) NOT NULL CONSTRAINT "not negative" CHECK (amount >= 0),
  mood app.mood,
  note text COLLATE "C" DEFAULT 'none',
  tags text[],
  at timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00',
  data bytea,
  detail jsonb,
  with_tax numeric GENERATED ALWAYS AS (amount * 1.2) STORED NOT NULL,
  place int CONSTRAINT "one a place" UNIQUE DEFERRABLE INITIALLY DEFERRED,
  parent bigint,
  CONSTRAINT "of a customer" FOREIGN KEY (customer) REFERENCES app.customers
    ON DELETE CASCADE DEFERRABLE,
  CONSTRAINT "of an order" FOREIGN KEY (parent) REFERENCES app."Orders" ON DELETE SET NULL);
ALTER TABLE app."Orders" OWNER TO shopkeeper;
CREATE TABLE app.payments (
  id int PRIMARY KEY, "order" bigint NOT NULL, paid numeric NOT NULL,
  CONSTRAINT "for an order" FOREIGN KEY ("order") REFERENCES app."Orders"
    ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX "by mood" ON app."Orders" (mood) WHERE mood IS NOT NULL;
CREATE INDEX "by lower note" ON app."Orders" (lower(note) DESC NULLS LAST) INCLUDE (amount);
ALTER TABLE app."Orders" CLUSTER ON "by lower note";
ALTER TABLE app."Orders" SET (fillfactor = 80, autovacuum_enabled = false);
ALTER TABLE app."Orders" ALTER COLUMN note SET STATISTICS 50;
ALTER TABLE app."Orders" ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE STATISTICS app."together" (dependencies) ON customer, amount FROM app."Orders";
CREATE UNIQUE INDEX "identity of replicas" ON app."Orders" (id, customer);
ALTER TABLE app."Orders" REPLICA IDENTITY USING INDEX "identity of replicas";
CREATE VIEW app.large AS SELECT id, amount FROM app."Orders" WHERE amount > 10;
GRANT SELECT ON app.large TO clerk;
CREATE MATERIALIZED VIEW app.totals AS SELECT customer, sum(amount) FROM app."Orders" GROUP BY 1;
CREATE UNIQUE INDEX "totals of" ON app.totals (customer);
CREATE MATERIALIZED VIEW app.best AS SELECT max(sum) FROM app.totals;
CREATE MATERIALIZED VIEW app.unfilled AS SELECT count(*) FROM app.large WITH NO DATA;
CREATE TABLE app.fired (what text);
GRANT INSERT ON app.fired TO shopkeeper, clerk;
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO app.fired VALUES (TG_NAME); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER "on row" BEFORE INSERT OR UPDATE OR DELETE ON app."Orders"
  FOR EACH ROW EXECUTE FUNCTION app.fires();
CREATE TRIGGER "on statement" AFTER INSERT OR DELETE ON app."Orders"
  FOR EACH STATEMENT EXECUTE FUNCTION app.fires();
CREATE TRIGGER resting AFTER UPDATE ON app."Orders" EXECUTE FUNCTION app.fires();
ALTER TABLE app."Orders" DISABLE TRIGGER resting;
CREATE RULE also AS ON DELETE TO app."Orders" DO ALSO INSERT INTO app.fired VALUES ('rule');
ALTER TABLE app."Orders" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own orders" ON app."Orders" FOR SELECT TO clerk USING (customer = 1);
GRANT SELECT, INSERT ON app."Orders" TO clerk WITH GRANT OPTION;
GRANT UPDATE (note, mood) ON app."Orders" TO auditor;
COMMENT ON TABLE app."Orders" IS 'what was ordered';
COMMENT ON COLUMN app."Orders".note IS 'free text';
COMMENT ON CONSTRAINT "not negative" ON app."Orders" IS 'what is paid back is no order';
CREATE PUBLICATION few FOR TABLE app."Orders" WHERE (id > 0);
INSERT INTO app.customers SELECT n, 'customer ' || n FROM generate_series(1, 5) n;
INSERT INTO app."Orders" (customer, amount, mood, note, tags, data, detail, place, parent)
  SELECT 1 + n % 5, n, CASE n % 3 WHEN 0 THEN 'calm' WHEN 1 THEN 'tense' END::app.mood,
    E'line\n\\' || n, ARRAY['a"b', NULL, n::text], decode(md5(n::text), 'hex'),
    jsonb_build_object('n', n), n, CASE WHEN n > 10 THEN n - 10 END
  FROM generate_series(1, 40) n;
INSERT INTO app.payments SELECT n, n, n FROM generate_series(1, 20) n;
-- Rows from before a rule break it, and stay as they are.
ALTER TABLE app."Orders" ADD CONSTRAINT "not the third" CHECK (id NOT IN (3, 39)) NOT VALID;
COMMENT ON CONSTRAINT "not the third" ON app."Orders" IS 'since there is a rule';
REFRESH MATERIALIZED VIEW app.totals; REFRESH MATERIALIZED VIEW app.best;
TRUNCATE app.fired;
