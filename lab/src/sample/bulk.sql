-- `megabytes` of COPY text, half of it in one table and half in three, which gzip makes four to
-- five times smaller, as it does an application's own data.
CREATE SCHEMA bulk;
CREATE FUNCTION bulk.line(n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT 'GET /courses/' || n % 997 || '/lessons/' || n % 53 || '?session=' || md5(n::text)
    || ' HTTP/1.1 200 ' || n * 7919 % 100000 || ' "https://learn.example/dashboard" "Mozilla/5.0 (X11; '
    || (ARRAY['Linux x86_64', 'Ubuntu; Linux', 'Windows NT 10.0', 'Macintosh; Intel Mac OS X'])[1 + n % 4]
    || ') AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || 90 + n % 30 || '.0 Safari/537.36"'
    || ' trace=' || md5((-n)::text)
$$;
CREATE TABLE bulk.requests (
  id bigint NOT NULL,
  tenant_id integer NOT NULL,
  at timestamptz NOT NULL,
  cost numeric(10, 4),
  line text NOT NULL
);
CREATE TABLE bulk.requests_a (LIKE bulk.requests);
CREATE TABLE bulk.requests_b (LIKE bulk.requests);
CREATE TABLE bulk.requests_c (LIKE bulk.requests);
CREATE PROCEDURE bulk.fill(target regclass, first bigint, last bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %s SELECT n, n %% 40, timestamptz ''2026-01-01 00:00+00'' + n * interval ''1 second'',
    CASE WHEN n %% 5 <> 0 THEN (n %% 9973) / 100.0 END, bulk.line(n) FROM generate_series($1, $2) AS n', target)
    USING first, last;
END $$;
-- 3200 rows are a megabyte.
CALL bulk.fill('bulk.requests', 1, :megabytes * 1600::bigint);
CALL bulk.fill('bulk.requests_a', 1, :megabytes * 533::bigint);
CALL bulk.fill('bulk.requests_b', :megabytes * 533::bigint + 1, :megabytes * 1066::bigint);
CALL bulk.fill('bulk.requests_c', :megabytes * 1066::bigint + 1, :megabytes * 1600::bigint);
DROP PROCEDURE bulk.fill(regclass, bigint, bigint);
ALTER TABLE bulk.requests ADD PRIMARY KEY (id);
ANALYZE;
