-- A small schema of what copies trip over: names, shapes and features that are rare and legal.
SELECT :SERVER_VERSION_NUM >= 150000 AS since15 \gset
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['awkward owner', 'Awkward/Reader', 'awkward_app'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
  END LOOP;
END $$;
SELECT format('ALTER DATABASE %I SET statement_timeout = ''90min''', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET "awkward.flag" = %L', current_database(), 'it''s on') \gexec
SELECT format('ALTER ROLE awkward_app IN DATABASE %I SET search_path = %L', current_database(), '') \gexec
SELECT format('ALTER ROLE "awkward owner" IN DATABASE %I SET work_mem = ''8MB''', current_database()) \gexec

CREATE SCHEMA extensions;
CREATE EXTENSION btree_gist SCHEMA extensions;
CREATE EXTENSION hstore SCHEMA extensions;
CREATE EXTENSION postgres_fdw SCHEMA extensions;

-- Names.
CREATE SCHEMA "Grüße.und ""Küsse""/東京" AUTHORIZATION "awkward owner";
COMMENT ON SCHEMA "Grüße.und ""Küsse""/東京" IS E'a comment with\na line break and a \\';
CREATE TABLE "Grüße.und ""Küsse""/東京"."Bestell.Nr 'x' \y %s $1" (
  "Id" integer PRIMARY KEY,
  "select" text NOT NULL DEFAULT 'it''s',
  "naïve col.umn" text,
  "a""b" text GENERATED ALWAYS AS ("select" || '.') STORED
);
INSERT INTO "Grüße.und ""Küsse""/東京"."Bestell.Nr 'x' \y %s $1"
VALUES (1, DEFAULT, 'Straße'), (2, '', NULL), (3, '\.', '\N');
CREATE INDEX "ïndex ""of"" names" ON "Grüße.und ""Küsse""/東京"."Bestell.Nr 'x' \y %s $1" ("naïve col.umn");
CREATE SCHEMA a;
CREATE SCHEMA "a.b";
CREATE TABLE a."b.c" (n integer);
CREATE TABLE "a.b".c (n integer);
INSERT INTO a."b.c" VALUES (1);
INSERT INTO "a.b".c VALUES (2), (3);
CREATE TABLE a."T" (n integer);
CREATE TABLE a.t (n integer);
INSERT INTO a."T" VALUES (10);
CREATE TABLE a."ñññññññññññññññññññññññññññññññ" (n integer);
CREATE TABLE a."../../up" (n integer);
INSERT INTO a."../../up" VALUES (4);

-- Shapes.
CREATE SCHEMA shapes;
CREATE TABLE shapes.no_columns ();
INSERT INTO shapes.no_columns DEFAULT VALUES;
INSERT INTO shapes.no_columns DEFAULT VALUES;
CREATE TABLE shapes.no_rows (id integer PRIMARY KEY, note text);
CREATE TABLE shapes.only_dropped (gone integer, also_gone text);
INSERT INTO shapes.only_dropped VALUES (1, 'x');
ALTER TABLE shapes.only_dropped DROP COLUMN gone, DROP COLUMN also_gone;
CREATE TABLE shapes.some_dropped (a integer, b text, c integer, d text DEFAULT 'd');
INSERT INTO shapes.some_dropped VALUES (1, 'b', 2), (3, 'b', 4);
ALTER TABLE shapes.some_dropped DROP COLUMN b;
ALTER TABLE shapes.some_dropped ADD COLUMN e integer NOT NULL DEFAULT 7;
CREATE TABLE shapes.same_rows (n integer, t text);
INSERT INTO shapes.same_rows SELECT 1, 'same' FROM generate_series(1, 5);
SELECT 'CREATE TABLE shapes.wide (' || string_agg(format('c%s text DEFAULT %L', n, n), ', ') || ')'
FROM generate_series(1, 400) AS n \gexec
INSERT INTO shapes.wide (c1) SELECT string_agg(md5(n::text), '') FROM generate_series(1, 250000) AS n;
CREATE TABLE shapes.parent (id integer PRIMARY KEY, kind text CHECK (kind <> ''));
CREATE TABLE shapes.child (extra text) INHERITS (shapes.parent);
CREATE TABLE shapes.other (also date);
CREATE TABLE shapes.grandchild (CHECK (id > 100)) INHERITS (shapes.child, shapes.other);
INSERT INTO shapes.parent VALUES (1, 'p');
INSERT INTO shapes.child VALUES (2, 'c', 'x'), (3, 'c', NULL);
INSERT INTO shapes.grandchild VALUES (101, 'g', 'y', '2026-01-01');
CREATE UNLOGGED TABLE shapes.unlogged (n integer);
INSERT INTO shapes.unlogged VALUES (1), (2);
CREATE TABLE shapes.leaves (
  id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 10),
  gone text,
  at date NOT NULL,
  region text NOT NULL,
  twice bigint GENERATED ALWAYS AS (extract(year FROM at)::bigint * 2) STORED,
  UNIQUE (id, at)
) PARTITION BY RANGE (at);
ALTER TABLE shapes.leaves DROP COLUMN gone;
CREATE TABLE shapes."leaves 2025" PARTITION OF shapes.leaves FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE shapes.leaves_2026 (
  region text NOT NULL DEFAULT 'own default', at date NOT NULL, id bigint NOT NULL,
  twice bigint GENERATED ALWAYS AS (extract(year FROM at)::bigint * 2) STORED
);
ALTER TABLE shapes.leaves ATTACH PARTITION shapes.leaves_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shapes.leaves_empty PARTITION OF shapes.leaves FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
INSERT INTO shapes.leaves (at, region)
SELECT date '2025-12-01' + n, 'r' || n % 3 FROM generate_series(1, 60) AS n;
CREATE TABLE shapes.hashed (k integer, v text) PARTITION BY HASH (k);
CREATE TABLE shapes.hashed_0 PARTITION OF shapes.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shapes.hashed_1 PARTITION OF shapes.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO shapes.hashed SELECT n, 'v' || n FROM generate_series(1, 20) AS n;
CREATE TABLE shapes.childless (n integer) PARTITION BY LIST (n);

-- Types and values.
CREATE SCHEMA types;
CREATE DOMAIN types.word AS text CHECK (VALUE <> '');
CREATE DOMAIN types.short_word AS types.word DEFAULT 'none' CONSTRAINT is_short CHECK (length(VALUE) <= 8);
CREATE TYPE types.mood AS ENUM ('low', 'high');
ALTER TYPE types.mood ADD VALUE 'middle ''of'' it' BEFORE 'high';
CREATE TYPE types."Point 3" AS (x double precision, "Y" numeric, tag types.short_word);
CREATE TYPE types.line AS (a types."Point 3", b types."Point 3");
CREATE FUNCTION types.gap(double precision, double precision) RETURNS double precision
  LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 - $2';
CREATE TYPE types.stretch AS RANGE (subtype = double precision, subtype_diff = types.gap);
CREATE COLLATION types."any case" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION types.german (provider = icu, locale = 'de-u-co-phonebk');
CREATE TABLE types.everything (
  id integer PRIMARY KEY,
  word types.short_word,
  mood types.mood,
  moods types.mood[],
  line types.line,
  stretch types.stretch,
  slots datemultirange,
  name text COLLATE types."any case" UNIQUE,
  padded char(8),
  one "char",
  bits bit varying(9),
  where_at point,
  around box,
  net cidr,
  mac macaddr8,
  words tsvector,
  ask tsquery,
  price money,
  alarm time with time zone,
  kin extensions.hstore,
  wal pg_lsn,
  what regclass,
  doc json,
  path jsonpath
);
INSERT INTO types.everything VALUES
  (1, DEFAULT, 'middle ''of'' it', '{low,NULL,"middle ''of'' it"}', ROW(ROW('NaN', 1.50, 'a'), NULL), '[1.5,)',
   '{[2026-01-01,2026-02-01),[2026-03-01,)}', 'Äpfel', 'pad', 'x', B'101', '(1,-0)', '((0,0),(1,1))', '10.0.0.0/8',
   '08:00:2b:01:02:03:04:05', 'fat:2A cat:1', '''fat'' & !''rat''', '12.34', '04:05:06.789-08', 'a=>1, b=>NULL',
   '16/B374D848', 'shapes.parent', '{"a":1,  "a":2}', '$.a[*] ? (@ > 1)'),
  (2, 'w', NULL, '{}', ROW(NULL, ROW(1e-300, 'NaN', 'q"\')), 'empty', '{}', 'apfel', '', '', B'', NULL, NULL, NULL,
   NULL, '', NULL, '-0.01', '24:00:00+00', '', '0/0', NULL, '[ ]', 'strict $'),
  (3, NULL, 'low', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL);

-- Constraints.
CREATE SCHEMA rules;
CREATE TABLE rules.bookings (
  room integer NOT NULL,
  during tstzrange NOT NULL,
  cancelled boolean NOT NULL DEFAULT false,
  CONSTRAINT no_overlap EXCLUDE USING gist (room WITH OPERATOR(pg_catalog.=), during WITH &&) WHERE (NOT cancelled)
);
INSERT INTO rules.bookings VALUES (1, '[2026-01-01,2026-01-02)', false), (1, '[2026-01-02,2026-01-03)', false),
  (1, '[2026-01-01,2026-01-03)', true), (2, 'empty', false);
CREATE TABLE rules.hen (id integer PRIMARY KEY, egg integer NOT NULL);
CREATE TABLE rules.egg (id integer PRIMARY KEY, hen integer NOT NULL,
  CONSTRAINT hen FOREIGN KEY (hen) REFERENCES rules.hen DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE rules.hen ADD CONSTRAINT egg FOREIGN KEY (egg) REFERENCES rules.egg DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO rules.hen SELECT n, n FROM generate_series(1, 6) AS n;
INSERT INTO rules.egg SELECT n, 7 - n FROM generate_series(1, 6) AS n;
COMMIT;
CREATE TABLE rules.tree (
  id integer PRIMARY KEY,
  up integer REFERENCES rules.tree ON DELETE SET NULL,
  label text,
  CONSTRAINT one_label UNIQUE (label) DEFERRABLE INITIALLY IMMEDIATE
);
INSERT INTO rules.tree VALUES (1, 3, 'a'), (2, 1, 'b'), (3, 2, 'c');
ALTER TABLE rules.tree ADD CONSTRAINT label_is_long CHECK (length(label) > 1) NOT VALID;
CREATE TABLE rules.settings (name text, value text CHECK (value <> 'x') NO INHERIT);
INSERT INTO rules.settings VALUES ('a', NULL), ('a', NULL);
\if :since15
ALTER TABLE rules.tree ADD COLUMN code integer, ADD CONSTRAINT one_code UNIQUE NULLS NOT DISTINCT (id, code);
\endif
CREATE STATISTICS rules."some facts" (ndistinct, dependencies, mcv) ON room, cancelled FROM rules.bookings;
CREATE STATISTICS rules.expression_facts ON (lower(label)) FROM rules.tree;
ALTER TABLE rules.tree REPLICA IDENTITY FULL;
ALTER TABLE rules.egg CLUSTER ON egg_pkey;
ALTER TABLE rules.settings ALTER COLUMN value SET STORAGE EXTERNAL, ALTER COLUMN value SET COMPRESSION pglz;

-- Rules, triggers, functions, views.
CREATE TABLE rules.log (n serial, what text);
CREATE RULE note_delete AS ON DELETE TO rules.settings DO ALSO INSERT INTO rules.log (what) VALUES (OLD.name);
CREATE VIEW rules.settings_view WITH (security_barrier, check_option = cascaded) AS
  SELECT name, value FROM rules.settings WHERE name IS NOT NULL;
CREATE VIEW rules.quiet AS SELECT name FROM rules.settings;
CREATE RULE quiet_insert AS ON INSERT TO rules.quiet DO INSTEAD NOTHING;
CREATE RECURSIVE VIEW rules.countdown (n) AS VALUES (3) UNION ALL SELECT n - 1 FROM countdown WHERE n > 1;
CREATE VIEW rules.grouped AS SELECT id, label, count(*) FROM rules.tree GROUP BY id;
CREATE MATERIALIZED VIEW rules.unfilled AS SELECT id FROM rules.tree WITH NO DATA;
CREATE MATERIALIZED VIEW rules.filled AS SELECT name, count(*) FROM rules.settings_view GROUP BY name;
CREATE FUNCTION rules.noted() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO rules.log (what) VALUES (TG_NAME || $$ on 'it' $$);
  RETURN NULL;
END $body$;
CREATE TRIGGER "Noted, disabled" AFTER INSERT ON rules.hen FOR EACH STATEMENT EXECUTE FUNCTION rules.noted();
ALTER TABLE rules.hen DISABLE TRIGGER "Noted, disabled";
CREATE TRIGGER noted_always AFTER TRUNCATE ON rules.hen FOR EACH STATEMENT EXECUTE FUNCTION rules.noted();
ALTER TABLE rules.hen ENABLE ALWAYS TRIGGER noted_always;
CREATE CONSTRAINT TRIGGER noted_late AFTER UPDATE ON rules.egg DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION rules.noted();
CREATE TRIGGER noted_rows AFTER UPDATE ON rules.egg REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION rules.noted();
CREATE TRIGGER noted_view INSTEAD OF DELETE ON rules.settings_view FOR EACH ROW EXECUTE FUNCTION rules.noted();
CREATE FUNCTION rules.pick(a integer, b integer DEFAULT 2, VARIADIC more integer[] DEFAULT '{}')
  RETURNS TABLE (n integer) LANGUAGE sql IMMUTABLE ROWS 5 COST 7 AS $$ SELECT unnest(ARRAY[a, b] || more) $$;
CREATE FUNCTION rules.pick(a text) RETURNS text LANGUAGE sql IMMUTABLE RETURN upper(a);
CREATE AGGREGATE rules.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE OPERATOR rules.<-> (LEFTARG = double precision, RIGHTARG = double precision, FUNCTION = types.gap);
CREATE FUNCTION rules.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE DEBUG '%', tg_tag; END $$;
CREATE EVENT TRIGGER "awkward ddl" ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION rules.on_ddl();
CREATE TEXT SEARCH DICTIONARY rules.plain_words (TEMPLATE = simple, stopwords = english);
CREATE TEXT SEARCH CONFIGURATION rules."my words" (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION rules."my words" ALTER MAPPING FOR asciiword WITH rules.plain_words;

-- Sequences.
CREATE SCHEMA counters;
CREATE SEQUENCE counters.down INCREMENT -3 MINVALUE -1000 MAXVALUE 10 START 10;
SELECT nextval('counters.down'), nextval('counters.down');
CREATE SEQUENCE counters."Round" AS smallint INCREMENT 7 MINVALUE 1 MAXVALUE 20 CYCLE CACHE 3;
SELECT setval('counters."Round"', 15, false);
CREATE SEQUENCE counters.untouched START 42;
CREATE SEQUENCE counters.huge START 9223372036854775807 MAXVALUE 9223372036854775807;
CREATE TABLE counters.owner (n bigint, m integer GENERATED BY DEFAULT AS IDENTITY (START 5 INCREMENT 5));
CREATE SEQUENCE counters.owned OWNED BY counters.owner.n;
ALTER TABLE counters.owner ALTER COLUMN n SET DEFAULT nextval('counters.owned') * 2;
INSERT INTO counters.owner DEFAULT VALUES;
INSERT INTO counters.owner DEFAULT VALUES;
INSERT INTO counters.owner (n, m) VALUES (-1, 1000);

-- Rights.
CREATE SCHEMA rights;
CREATE TABLE rights.forced (tenant integer NOT NULL, secret text);
INSERT INTO rights.forced VALUES (1, 'one'), (2, 'two'), (2, NULL);
ALTER TABLE rights.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO "awkward owner";
CREATE POLICY "own / rows" ON rights.forced USING (tenant = current_setting('awkward.tenant', true)::integer);
CREATE TABLE rights.closed (n integer);
INSERT INTO rights.closed VALUES (1);
ALTER TABLE rights.closed ENABLE ROW LEVEL SECURITY;
CREATE TABLE rights.disabled (n integer);
CREATE POLICY waits ON rights.disabled FOR DELETE TO awkward_app USING (n > 0);
ALTER SCHEMA rights OWNER TO "awkward owner";
GRANT USAGE ON SCHEMA rights TO "Awkward/Reader" WITH GRANT OPTION;
GRANT SELECT ON rights.forced TO "Awkward/Reader" WITH GRANT OPTION;
GRANT UPDATE (secret), REFERENCES (tenant) ON rights.forced TO awkward_app;
SET ROLE "Awkward/Reader";
GRANT SELECT ON rights.forced TO awkward_app;
RESET ROLE;
GRANT SELECT ON rights.closed TO PUBLIC;
REVOKE ALL ON rights.disabled FROM postgres;
REVOKE EXECUTE ON FUNCTION rules.pick(text) FROM PUBLIC;
REVOKE USAGE ON TYPE types.mood FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "awkward owner" GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "awkward owner" IN SCHEMA rights GRANT EXECUTE ON FUNCTIONS TO awkward_app;

-- A server that does not exist, so that nobody may ask it for rows.
CREATE SERVER "far away" FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.invalid', dbname 'it''s far', port '5432');
CREATE USER MAPPING FOR awkward_app SERVER "far away" OPTIONS (user 'reader');
CREATE FOREIGN TABLE rights.elsewhere (n integer OPTIONS (column_name 'N'), t text)
  SERVER "far away" OPTIONS (schema_name 'x', table_name 'y');
GRANT USAGE ON FOREIGN SERVER "far away" TO awkward_app;

-- Large objects and publications.
SELECT lo_from_bytea(990001, '\x000a5c'), lo_from_bytea(990002, '');
ALTER LARGE OBJECT 990001 OWNER TO "awkward owner";
CREATE PUBLICATION "all of it" FOR ALL TABLES WITH (publish = 'insert');
\if :since15
CREATE PUBLICATION "some, of it" FOR TABLE rules.egg (id, hen) WHERE (id > 2);
CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA counters, a;
\else
CREATE PUBLICATION "some, of it" FOR TABLE rules.egg;
\endif
ANALYZE;
