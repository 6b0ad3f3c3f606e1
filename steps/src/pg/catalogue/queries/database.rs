//! The database itself, its settings, schemas, extensions and languages.

use model::set::Category;

use super::{Query, database};

pub(super) const QUERIES: &[Query] = &[
    database(Category::DatabaseLocale, LOCALE),
    database(Category::DatabaseProperty, PROPERTY),
    database(Category::DatabaseSetting, DATABASE_SETTING),
    database(Category::RoleSetting, ROLE_SETTING),
    database(Category::Extension, EXTENSION),
    database(Category::ExtensionVersion, EXTENSION_VERSION),
    database(Category::Schema, SCHEMA),
    database(Category::Language, LANGUAGE),
    database(Category::AccessMethod, ACCESS_METHOD),
];

const LOCALE: &str = "
SELECT v.name, NULL, jsonb_build_object('value', v.value)
FROM pg_database d, LATERAL (VALUES
    ('encoding', pg_encoding_to_char(d.encoding)::text),
    ('collate', d.datcollate::text),
    ('ctype', d.datctype::text),
    ('provider', coalesce(CASE to_jsonb(d)->>'datlocprovider'
      WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END, 'libc')),
    ('locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'))) v (name, value)
WHERE d.datname = current_database() AND v.value IS NOT NULL";

const PROPERTY: &str = "
SELECT v.name, NULL, jsonb_build_object('value', v.value)
FROM pg_database d, LATERAL (VALUES
    ('owner', d.datdba::regrole::text),
    ('connection limit', nullif(d.datconnlimit, -1)::text),
    ('is template', nullif(d.datistemplate, false)::text),
    ('comment', shobj_description(d.oid, 'pg_database')),
    ('privileges', array_to_string(ARRAY(SELECT unnest(d.datacl)::text ORDER BY 1), ', ')))
  v (name, value)
WHERE d.datname = current_database() AND v.value IS NOT NULL AND v.value <> ''";

const DATABASE_SETTING: &str = "
SELECT split_part(s.setting, '=', 1), NULL,
  jsonb_build_object('value', substr(s.setting, strpos(s.setting, '=') + 1))
FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase,
  unnest(r.setconfig) s (setting)
WHERE d.datname = current_database() AND r.setrole = 0";

const ROLE_SETTING: &str = "
SELECT format('%s for %I', split_part(s.setting, '=', 1), o.rolname), NULL,
  jsonb_build_object('setting', split_part(s.setting, '=', 1), 'role', o.rolname,
    'value', substr(s.setting, strpos(s.setting, '=') + 1))
FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase
  JOIN pg_roles o ON o.oid = r.setrole,
  unnest(r.setconfig) s (setting)
WHERE d.datname = current_database()";

const EXTENSION: &str = "
SELECT format('%I', e.extname), NULL, jsonb_build_object('schema', format('%I', n.nspname))
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace";

const EXTENSION_VERSION: &str = "
SELECT format('%I', e.extname), format('%I', e.extname),
  jsonb_build_object('version', e.extversion)
FROM pg_extension e";

const SCHEMA: &str = "
SELECT format('%I', n.nspname), NULL, '{}'::jsonb
FROM ns n
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_namespace'::regclass AND m.objid = n.oid)";

const LANGUAGE: &str = "
SELECT format('%I', l.lanname), NULL, jsonb_build_object('trusted', l.lanpltrusted,
  'handler', nullif(l.lanplcallfoid, 0)::regprocedure::text,
  'inline', nullif(l.laninline, 0)::regprocedure::text,
  'validator', nullif(l.lanvalidator, 0)::regprocedure::text)
FROM pg_language l
WHERE l.lanispl AND NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_language'::regclass AND m.objid = l.oid)";

const ACCESS_METHOD: &str = "
SELECT format('%I', a.amname), NULL,
  jsonb_build_object('handler', a.amhandler::regprocedure::text, 'type', a.amtype::text)
FROM pg_am a
WHERE a.oid >= 16384 AND NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_am'::regclass AND m.objid = a.oid)";
