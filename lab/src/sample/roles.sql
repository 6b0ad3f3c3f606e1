-- The roles of the sample application, where they are not there yet.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['lms_owner', 'lms_app', 'lms_readonly', 'lms_support'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
  END LOOP;
END $$;
