-- A learning platform: tenants, their users and courses, enrolments, payments, an audit log.
-- `rows` is about the number of rows in all; every value follows from a row's number.
SELECT greatest(20, :rows / 15) AS users,
       greatest(10, :rows / 1500) AS courses,
       greatest(30, :rows * 3 / 10) AS enrolments,
       greatest(20, :rows / 5) AS payments,
       greatest(40, :rows * 2 / 5) AS events \gset

CREATE EXTENSION citext;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION hstore;

CREATE SCHEMA lms AUTHORIZATION lms_owner;
CREATE SCHEMA billing AUTHORIZATION lms_owner;
CREATE SCHEMA audit AUTHORIZATION lms_owner;
GRANT USAGE ON SCHEMA lms, billing TO lms_app, lms_readonly, lms_support;
GRANT USAGE ON SCHEMA audit TO lms_app, lms_support;
ALTER DEFAULT PRIVILEGES FOR ROLE lms_owner IN SCHEMA lms GRANT SELECT ON TABLES TO lms_readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE lms_owner IN SCHEMA lms
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO lms_app;
ALTER DEFAULT PRIVILEGES FOR ROLE lms_owner IN SCHEMA lms, billing GRANT USAGE ON SEQUENCES TO lms_app;
ALTER DEFAULT PRIVILEGES FOR ROLE lms_owner IN SCHEMA billing REVOKE ALL ON FUNCTIONS FROM PUBLIC;
SET ROLE lms_owner;

CREATE TYPE lms.plan AS ENUM ('free', 'team', 'school');
CREATE TYPE lms.enrolment_state AS ENUM ('active', 'completed', 'dropped');
CREATE TYPE billing.payment_status AS ENUM ('pending', 'settled', 'refunded', 'failed');
CREATE TYPE audit.severity AS ENUM ('info', 'notice', 'warning', 'error');
CREATE TYPE lms.address AS (street text, city text, postcode text);
CREATE DOMAIN billing.currency AS char(3) CHECK (VALUE ~ '^[A-Z]{3}$');
CREATE DOMAIN billing.amount AS numeric(12, 2) CONSTRAINT amount_not_negative CHECK (VALUE >= 0);
CREATE DOMAIN lms.slug AS text NOT NULL CONSTRAINT slug_shape CHECK (VALUE ~ '^[a-z0-9-]+$');

CREATE FUNCTION lms.current_tenant() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT nullif(current_setting('lms.tenant', true), '')::integer $$;
CREATE FUNCTION lms.full_name(given text, family text) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN given IS NULL THEN family ELSE given || ' ' || family END $$;
CREATE FUNCTION lms.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$;

CREATE TABLE lms.tenants (
  id integer PRIMARY KEY,
  slug lms.slug UNIQUE,
  name text NOT NULL,
  plan lms.plan NOT NULL DEFAULT 'free',
  address lms.address,
  settings jsonb NOT NULL DEFAULT '{}',
  labels hstore,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO lms.tenants
SELECT n, 'tenant-' || n, (ARRAY['Nordwind', 'École Bleue', '北海学院', 'Plain & Sons'])[1 + n % 4] || ' ' || n,
       (ARRAY['free', 'team', 'school']::lms.plan[])[1 + n % 3],
       ROW('Street ' || n, 'City', lpad(n::text, 5, '0'))::lms.address,
       jsonb_build_object('seats', n * 25, 'sso', n % 2 = 0, 'themes', jsonb_build_array('light', NULL, 'dark')),
       hstore(ARRAY['region', 'tier'], ARRAY['eu-' || n, NULL]),
       timestamptz '2024-01-01 00:00+00' + n * interval '17 days'
FROM generate_series(1, 8) AS n;

CREATE TABLE lms.users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id integer NOT NULL,
  email citext NOT NULL,
  given_name text,
  family_name text NOT NULL,
  full_name text GENERATED ALWAYS AS (lms.full_name(given_name, family_name)) STORED,
  password_hash bytea,
  roles text[] NOT NULL DEFAULT ARRAY['student'],
  preferences jsonb NOT NULL DEFAULT '{}',
  last_login inet,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  deleted_at timestamptz,
  UNIQUE (tenant_id, email)
);
INSERT INTO lms.users (tenant_id, email, given_name, family_name, password_hash, roles, preferences,
                       last_login, created_at, updated_at, deleted_at)
SELECT 1 + n % 8, 'User' || n || '@tenant-' || 1 + n % 8 || '.example',
       CASE WHEN n % 11 <> 0 THEN (ARRAY['Ada', 'Łukasz', 'Maria', 'Ünal', 'Chen'])[1 + n % 5] END,
       (ARRAY['Lovelace', 'O''Neil', 'Müller', 'García', 'Wei', 'Nowak', 'Smith'])[1 + n % 7] || ' ' || n,
       CASE WHEN n % 4 <> 0 THEN sha256(('secret ' || n)::bytea) END,
       CASE WHEN n % 20 = 0 THEN ARRAY['student', 'teacher'] WHEN n % 997 = 0 THEN '{}' ELSE ARRAY['student'] END,
       jsonb_build_object('lang', (ARRAY['en', 'de', 'fr', 'pl'])[1 + n % 4], 'digest', n % 3 = 0),
       ('10.' || n % 200 || '.' || n % 250 || '.7')::inet,
       timestamptz '2025-01-01 00:00+00' + n * interval '13 minutes',
       timestamptz '2025-06-01 00:00+00' + n * interval '11 minutes',
       CASE WHEN n % 50 = 0 THEN timestamptz '2026-03-01 00:00+00' + n * interval '1 second' END
FROM generate_series(1, :users) AS n;

CREATE TABLE lms.courses (
  id bigserial PRIMARY KEY,
  tenant_id integer NOT NULL,
  code lms.slug,
  title text NOT NULL,
  description text,
  price billing.amount NOT NULL,
  tags text[],
  length interval,
  search tsvector GENERATED ALWAYS AS
    (to_tsvector('simple'::regconfig, title || ' ' || coalesce(description, ''))) STORED
);
INSERT INTO lms.courses (tenant_id, code, title, description, price, tags, length)
SELECT 1 + n % 8, 'course-' || n, 'Course ' || n || ': ' || (ARRAY['SQL', 'Zoë''s Rust', 'Histoire', '数学'])[1 + n % 4],
       CASE WHEN n % 9 <> 0 THEN repeat('What this course teaches, in part ' || n || '. ', 1 + n % 7) END,
       (n % 40) * 12.5, ARRAY['t' || n % 10, 't' || n % 7, NULL], n * interval '90 minutes'
FROM generate_series(1, :courses) AS n;

CREATE TABLE lms.lessons (
  course_id bigint NOT NULL,
  position smallint NOT NULL CHECK (position > 0),
  title text NOT NULL,
  body text,
  PRIMARY KEY (course_id, position)
);
INSERT INTO lms.lessons
SELECT c, p, 'Lesson ' || p, repeat(md5((c * 10 + p)::text) || E' paragraph\twith a tab\n', (p * 3)::integer)
FROM generate_series(1, :courses) AS c, generate_series(1, 5) AS p;

CREATE TABLE lms.enrolments (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  tenant_id integer NOT NULL,
  user_id bigint NOT NULL,
  course_id bigint NOT NULL,
  state lms.enrolment_state NOT NULL,
  progress real CHECK (progress BETWEEN 0 AND 1),
  valid daterange NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, course_id)
);
INSERT INTO lms.enrolments (tenant_id, user_id, course_id, state, progress, valid, updated_at)
SELECT 1 + u % 8, u, 1 + (n % :users + n / :users) % :courses,
       (ARRAY['active', 'completed', 'dropped']::lms.enrolment_state[])[1 + n % 3],
       CASE WHEN n % 13 <> 0 THEN (n % 101) / 100.0 END,
       daterange(date '2025-09-01' + (n % 300)::integer, CASE WHEN n % 5 <> 0 THEN date '2027-01-01' END),
       timestamptz '2026-01-01 00:00+00' + n * interval '7 seconds'
FROM generate_series(1, :enrolments) AS n, LATERAL (SELECT 1 + n % :users AS u) AS who;

CREATE SEQUENCE billing.receipt_number AS integer START 100000 INCREMENT 5 CACHE 1;
CREATE TABLE billing.payments (
  id uuid PRIMARY KEY,
  receipt integer NOT NULL DEFAULT nextval('billing.receipt_number') UNIQUE,
  enrolment_id bigint NOT NULL,
  tenant_id integer NOT NULL,
  amount billing.amount NOT NULL,
  currency billing.currency NOT NULL DEFAULT 'EUR',
  tax numeric(12, 4) GENERATED ALWAYS AS (amount * 0.19) STORED,
  status billing.payment_status NOT NULL,
  paid_at timestamptz,
  provider_data jsonb,
  note text,
  CONSTRAINT settled_has_a_time CHECK (status <> 'settled' OR paid_at IS NOT NULL)
);
INSERT INTO billing.payments (id, receipt, enrolment_id, tenant_id, amount, currency, status, paid_at,
                              provider_data, note)
SELECT md5('payment ' || n)::uuid, nextval('billing.receipt_number'), e,
       1 + (1 + e % :users) % 8, (n % 9973) + (n % 100) / 100.0,
       (ARRAY['EUR', 'USD', 'GBP'])[1 + n % 3],
       (ARRAY['settled', 'settled', 'pending', 'refunded', 'failed']::billing.payment_status[])[1 + n % 5],
       CASE WHEN n % 5 <> 2 THEN timestamptz '2025-12-31 23:00+00' + n * interval '19 seconds' END,
       jsonb_build_object('charge', md5(n::text), 'attempts', n % 4, 'card', jsonb_build_object('last4', lpad((n % 10000)::text, 4, '0'))),
       CASE n % 6 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'C:\invoices\new' WHEN 3 THEN E'two\nlines' ELSE 'note ' || n END
FROM generate_series(1, :payments) AS n, LATERAL (SELECT 1 + n % :enrolments AS e) AS what;
UPDATE billing.payments SET note = repeat('a note from before there was a limit. ', 8)
WHERE id = md5('payment 7')::uuid;

CREATE TABLE audit.log (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  severity audit.severity NOT NULL DEFAULT 'info',
  tenant_id integer,
  actor text,
  action text NOT NULL,
  detail jsonb,
  PRIMARY KEY (id, at, severity)
) PARTITION BY RANGE (at);
CREATE TABLE audit.log_2026q1 PARTITION OF audit.log
  FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-04-01 00:00+00');
CREATE TABLE audit.log_2026q2 PARTITION OF audit.log
  FOR VALUES FROM ('2026-04-01 00:00+00') TO ('2026-07-01 00:00+00');
CREATE TABLE audit.log_2026q3 PARTITION OF audit.log
  FOR VALUES FROM ('2026-07-01 00:00+00') TO ('2026-10-01 00:00+00') PARTITION BY LIST (severity);
CREATE TABLE audit.log_2026q3_quiet PARTITION OF audit.log_2026q3 FOR VALUES IN ('info', 'notice');
CREATE TABLE audit.log_2026q3_loud PARTITION OF audit.log_2026q3 DEFAULT;
CREATE TABLE audit.log_rest PARTITION OF audit.log DEFAULT;
INSERT INTO audit.log (at, severity, tenant_id, actor, action, detail)
SELECT timestamptz '2026-01-01 00:00+00' + n * (interval '300 days' / :events),
       (ARRAY['info', 'info', 'notice', 'info', 'warning', 'info', 'error']::audit.severity[])[1 + n % 7],
       nullif(n % 9, 0), 'user:' || 1 + n % :users,
       (ARRAY['login', 'logout', 'enrol', 'pay', 'view lesson', 'change settings'])[1 + n % 6],
       CASE WHEN n % 3 <> 0 THEN jsonb_build_object('request', md5('r' || n), 'ms', n % 900, 'agent', 'Mozilla/5.0 (X11; Linux x86_64)') END
FROM generate_series(1, :events) AS n;

-- One row for each value that a careless copy changes.
CREATE TABLE lms.measurements (
  id integer PRIMARY KEY,
  label text,
  ratio double precision,
  small real,
  exact numeric,
  at timestamptz,
  day date,
  span interval,
  raw bytea,
  list integer[],
  doc jsonb,
  flag boolean
);
INSERT INTO lms.measurements VALUES
  (1, '', 'NaN', 'NaN', 'NaN', 'infinity', 'infinity', '0', '', '{}', 'null', true),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, E'tab\tnewline\nreturn\rback\\slash', 'Infinity', '-Infinity', 'Infinity', '-infinity', '-infinity',
   '-1 year 2 days 03:04:05.000006', '\x00ff0a0d5c', '{1,NULL,3}', '"a\\b"', false),
  (4, '\N', '-0', 1.17549435e-38, 1.10, '0044-03-15 12:00+00 BC', '4713-01-01 BC', '1 month', '\x5c4e',
   '{{1,2},{3,4}}', '{"b": 1, "a": [true, null, 1.50]}', NULL),
  (5, '\.', 0.1, 0.1, 123456789012345678901234567890.123456789, '2026-10-25 02:30:00.123456+02', '2026-02-28',
   '14:00', '\x2e', '[0:1]={7,8}', '"\u0001\t"', true),
  (6, E'   spaces   \u00a0 emoji 🐘 combining e\u0301', 1e308, 3.4e38, -0.000, '294276-12-31 23:59:59.999999+00',
   '5874897-12-31', '178000000 years', '\xdeadbeef', '{2147483647,-2147483648}', '[]', false),
  (7, '"quoted", ''single'', {brace}, $dollar$ ; -- /* ', 5e-324, 1e-45, 1e-30, '1970-01-01 00:00+00', '1970-01-01',
   '-00:00:00.000001', '\x', '{-1}', '{"": ""}', true);

CREATE TABLE lms.attachments (
  id integer PRIMARY KEY,
  course_id bigint NOT NULL,
  file_name text NOT NULL,
  content oid NOT NULL
);
RESET ROLE;
INSERT INTO lms.attachments
SELECT n, 1 + n % :courses, 'slides ' || n || '.pdf',
       lo_from_bytea(700000 + n, decode(repeat(md5('slide ' || n), 20 * n * n), 'hex'))
FROM generate_series(1, 12) AS n;
SELECT lo_from_bytea(700100, '');
COMMENT ON LARGE OBJECT 700001 IS 'the first slides';
GRANT SELECT ON LARGE OBJECT 700001 TO lms_app;
ALTER LARGE OBJECT 700002 OWNER TO lms_owner;
SET ROLE lms_owner;

ALTER TABLE lms.users ADD CONSTRAINT users_tenant FOREIGN KEY (tenant_id) REFERENCES lms.tenants;
ALTER TABLE lms.courses ADD CONSTRAINT courses_tenant FOREIGN KEY (tenant_id) REFERENCES lms.tenants;
ALTER TABLE lms.lessons ADD CONSTRAINT lessons_course FOREIGN KEY (course_id) REFERENCES lms.courses ON DELETE CASCADE;
ALTER TABLE lms.enrolments
  ADD CONSTRAINT enrolments_user FOREIGN KEY (user_id) REFERENCES lms.users ON DELETE RESTRICT,
  ADD CONSTRAINT enrolments_course FOREIGN KEY (course_id) REFERENCES lms.courses
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE billing.payments
  ADD CONSTRAINT payments_enrolment FOREIGN KEY (enrolment_id) REFERENCES lms.enrolments,
  ADD CONSTRAINT payments_tenant FOREIGN KEY (tenant_id) REFERENCES lms.tenants NOT VALID,
  ADD CONSTRAINT note_is_short CHECK (length(note) <= 200) NOT VALID;
ALTER TABLE lms.attachments ADD CONSTRAINT attachments_course FOREIGN KEY (course_id) REFERENCES lms.courses;

CREATE INDEX users_by_lower_name ON lms.users (lower(family_name));
CREATE INDEX users_deleted ON lms.users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_preferences ON lms.users USING gin (preferences jsonb_path_ops);
CREATE INDEX courses_search ON lms.courses USING gin (search);
CREATE INDEX courses_tags ON lms.courses USING gin (tags);
CREATE INDEX enrolments_by_course ON lms.enrolments (course_id) INCLUDE (state);
CREATE INDEX enrolments_valid ON lms.enrolments USING gist (valid);
CREATE INDEX payments_by_enrolment ON billing.payments (enrolment_id);
CREATE INDEX payments_open ON billing.payments (tenant_id, paid_at DESC NULLS LAST) WHERE status = 'pending';
CREATE INDEX log_at ON audit.log USING brin (at);
CREATE INDEX log_by_actor ON audit.log (actor, at);

CREATE FUNCTION audit.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO audit.log (at, tenant_id, actor, action, detail)
  VALUES (clock_timestamp(), NEW.tenant_id, session_user, lower(TG_OP) || ' ' || TG_TABLE_NAME,
          jsonb_build_object('id', NEW.id));
  RETURN NULL;
END $$;
CREATE FUNCTION billing.balance(of_tenant integer, OUT settled numeric, OUT refunded numeric)
  LANGUAGE sql STABLE AS $$
  SELECT sum(amount) FILTER (WHERE status = 'settled'), sum(amount) FILTER (WHERE status = 'refunded')
  FROM billing.payments WHERE tenant_id = of_tenant $$;
CREATE PROCEDURE lms.close_course(course bigint) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE lms.enrolments SET state = 'completed' WHERE course_id = course AND state = 'active';
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON lms.users FOR EACH ROW
  WHEN (OLD.preferences IS DISTINCT FROM NEW.preferences) EXECUTE FUNCTION lms.touch();
CREATE TRIGGER touch BEFORE UPDATE OF state, progress ON lms.enrolments FOR EACH ROW EXECUTE FUNCTION lms.touch();
CREATE TRIGGER record AFTER INSERT OR UPDATE ON billing.payments FOR EACH ROW EXECUTE FUNCTION audit.record();

CREATE VIEW lms.active_users AS
  SELECT id, tenant_id, email, full_name FROM lms.users WHERE deleted_at IS NULL;
CREATE VIEW lms.course_progress WITH (security_barrier) AS
  SELECT c.id, c.title, count(e.*) AS enrolled, avg(e.progress) AS progress
  FROM lms.courses AS c LEFT JOIN lms.enrolments AS e ON e.course_id = c.id GROUP BY c.id;
CREATE MATERIALIZED VIEW billing.revenue AS
  SELECT tenant_id, currency, date_trunc('month', paid_at AT TIME ZONE 'UTC') AS month,
         count(*) AS payments, sum(amount) AS amount
  FROM billing.payments WHERE status = 'settled' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
CREATE UNIQUE INDEX revenue_key ON billing.revenue (tenant_id, currency, month);

ALTER TABLE lms.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE lms.courses ENABLE ROW LEVEL SECURITY;
ALTER TABLE lms.enrolments ENABLE ROW LEVEL SECURITY;
ALTER TABLE billing.payments ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON lms.users TO lms_app
  USING (tenant_id = lms.current_tenant()) WITH CHECK (tenant_id = lms.current_tenant());
CREATE POLICY own_tenant ON lms.courses TO lms_app USING (tenant_id = lms.current_tenant());
CREATE POLICY own_tenant ON lms.enrolments TO lms_app
  USING (tenant_id = lms.current_tenant()) WITH CHECK (tenant_id = lms.current_tenant());
CREATE POLICY read_all ON lms.enrolments FOR SELECT TO lms_readonly, lms_support USING (true);
CREATE POLICY own_tenant ON billing.payments AS RESTRICTIVE TO lms_app
  USING (tenant_id = lms.current_tenant());
CREATE POLICY not_refunded ON billing.payments FOR UPDATE TO lms_app
  USING (status <> 'refunded') WITH CHECK (amount < 100000);

GRANT SELECT ON ALL TABLES IN SCHEMA audit TO lms_support;
GRANT INSERT ON audit.log TO lms_app;
GRANT SELECT, INSERT, UPDATE ON billing.payments TO lms_app;
GRANT SELECT (id, receipt, amount, currency, status) ON billing.payments TO lms_support;
GRANT SELECT ON billing.revenue TO lms_readonly WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION billing.balance(integer) TO lms_support;
REVOKE EXECUTE ON PROCEDURE lms.close_course(bigint) FROM PUBLIC;

COMMENT ON SCHEMA billing IS 'money in, and nothing else';
COMMENT ON TABLE billing.payments IS 'one row for each attempt to pay';
COMMENT ON COLUMN billing.payments.receipt IS 'printed on the invoice; it''s never reused';
COMMENT ON CONSTRAINT note_is_short ON billing.payments IS 'older notes may be longer';
COMMENT ON POLICY own_tenant ON lms.users IS 'tenants see themselves';
COMMENT ON FUNCTION lms.current_tenant() IS 'set by the application for each request';
COMMENT ON TYPE lms.plan IS 'what a tenant pays for';
ALTER TABLE lms.users ALTER COLUMN email SET STATISTICS 500;
ALTER TABLE audit.log_2026q1 SET (autovacuum_vacuum_scale_factor = 0.4, fillfactor = 90);
CREATE STATISTICS lms.enrolment_facts (dependencies, ndistinct) ON tenant_id, user_id FROM lms.enrolments;
RESET ROLE;
CREATE PUBLICATION lms_changes FOR TABLE lms.users, lms.enrolments, billing.payments
  WITH (publish = 'insert, update');
ANALYZE;
