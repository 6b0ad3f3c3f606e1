//! Types, domains, enums, collations, conversions, text search.

use model::set::Category;

use super::{Query, database, since};

pub(super) const QUERIES: &[Query] = &[
    database(Category::Type, TYPE),
    database(Category::Type, RANGE),
    since(14_00_00, database(Category::Type, MULTIRANGE)),
    database(Category::Enum, ENUM),
    database(Category::Domain, DOMAIN),
    database(Category::Domain, DOMAIN_CHECKS),
    database(Category::Collation, COLLATION),
    database(Category::Conversion, CONVERSION),
    database(Category::TextSearch, DICTIONARY),
    database(Category::TextSearch, CONFIGURATION),
    database(Category::TextSearch, PARSER),
    database(Category::TextSearch, TEMPLATE),
];

const TYPE: &str = "
SELECT t.identity, NULL, CASE t.typtype
  WHEN 'b' THEN jsonb_build_object('kind', 'base', 'input', t.typinput::regprocedure::text,
    'output', t.typoutput::regprocedure::text,
    'receive', nullif(t.typreceive::oid, 0)::regprocedure::text,
    'send', nullif(t.typsend::oid, 0)::regprocedure::text,
    'length', t.typlen, 'by_value', t.typbyval, 'alignment', t.typalign::text,
    'storage', t.typstorage::text, 'category', t.typcategory::text,
    'delimiter', t.typdelim::text, 'default', t.typdefault)
  WHEN 'c' THEN jsonb_build_object('kind', 'composite')
  WHEN 'r' THEN jsonb_build_object('kind', 'range')
  ELSE jsonb_build_object('kind', 'shell') END
FROM typ t
WHERE t.typtype IN ('b', 'c', 'r', 'p')";

const RANGE: &str = "
SELECT t.identity, NULL, jsonb_build_object('subtype', format_type(r.rngsubtype, NULL),
  'collation', nullif(r.rngcollation, 0)::regcollation::text,
  'operator_class', (pg_identify_object('pg_opclass'::regclass, r.rngsubopc, 0)).identity,
  'canonical', nullif(r.rngcanonical::oid, 0)::regprocedure::text,
  'difference', nullif(r.rngsubdiff::oid, 0)::regprocedure::text)
FROM typ t JOIN pg_range r ON r.rngtypid = t.oid";

const MULTIRANGE: &str = "
SELECT t.identity, NULL, jsonb_build_object('multirange', format_type(r.rngmultitypid, NULL))
FROM typ t JOIN pg_range r ON r.rngtypid = t.oid";

const ENUM: &str = "
SELECT t.identity, NULL, jsonb_build_object('labels', (
  SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
  FROM pg_enum e WHERE e.enumtypid = t.oid))
FROM typ t
WHERE t.typtype = 'e'";

const DOMAIN: &str = "
SELECT t.identity, NULL, jsonb_build_object('type', format_type(t.typbasetype, t.typtypmod),
  'not_null', t.typnotnull, 'default', pg_get_expr(t.typdefaultbin, 0),
  'collation', CASE WHEN t.typcollation <> b.typcollation
    THEN t.typcollation::regcollation::text END)
FROM typ t JOIN pg_type b ON b.oid = t.typbasetype
WHERE t.typtype = 'd'";

const DOMAIN_CHECKS: &str = "
SELECT t.identity, NULL, jsonb_object_agg(format('constraint %I', k.conname),
  pg_get_constraintdef(k.oid))
FROM typ t JOIN pg_constraint k ON k.contypid = t.oid
WHERE k.contype = 'c'
GROUP BY t.identity";

const COLLATION: &str = "
SELECT (pg_identify_object('pg_collation'::regclass, c.oid, 0)).identity, NULL,
  jsonb_build_object('provider', c.collprovider::text,
    'deterministic', c.collisdeterministic, 'collate', c.collcollate, 'ctype', c.collctype,
    'locale', coalesce(to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale'),
    'rules', to_jsonb(c)->>'collicurules')
FROM pg_collation c JOIN ns n ON n.oid = c.collnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_collation'::regclass AND m.objid = c.oid)";

const CONVERSION: &str = "
SELECT (pg_identify_object('pg_conversion'::regclass, c.oid, 0)).identity, NULL,
  jsonb_build_object('from', pg_encoding_to_char(c.conforencoding),
    'to', pg_encoding_to_char(c.contoencoding), 'default', c.condefault,
    'function', c.conproc::oid::regprocedure::text)
FROM pg_conversion c JOIN ns n ON n.oid = c.connamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_conversion'::regclass AND m.objid = c.oid)";

const DICTIONARY: &str = "
SELECT 'dictionary ' || (pg_identify_object('pg_ts_dict'::regclass, d.oid, 0)).identity, NULL,
  jsonb_build_object('options', d.dictinitoption,
    'template', (pg_identify_object('pg_ts_template'::regclass, d.dicttemplate, 0)).identity)
FROM pg_ts_dict d JOIN ns n ON n.oid = d.dictnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_ts_dict'::regclass AND m.objid = d.oid)";

const CONFIGURATION: &str = "
SELECT 'configuration ' || (pg_identify_object('pg_ts_config'::regclass, c.oid, 0)).identity,
  NULL, jsonb_build_object(
    'parser', (pg_identify_object('pg_ts_parser'::regclass, c.cfgparser, 0)).identity)
  || coalesce((SELECT jsonb_object_agg('mapping ' || k.alias, k.dictionaries) FROM (
    SELECT t.alias, string_agg((pg_identify_object('pg_ts_dict'::regclass, m.mapdict, 0)).identity,
      ', ' ORDER BY m.mapseqno) AS dictionaries
    FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
    WHERE m.mapcfg = c.oid GROUP BY t.alias) k), '{}')
FROM pg_ts_config c JOIN ns n ON n.oid = c.cfgnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_ts_config'::regclass AND m.objid = c.oid)";

const PARSER: &str = "
SELECT 'parser ' || (pg_identify_object('pg_ts_parser'::regclass, p.oid, 0)).identity, NULL,
  jsonb_build_object('start', p.prsstart::oid::regprocedure::text,
    'token', p.prstoken::oid::regprocedure::text, 'end', p.prsend::oid::regprocedure::text,
    'types', p.prslextype::oid::regprocedure::text,
    'headline', nullif(p.prsheadline::oid, 0)::regprocedure::text)
FROM pg_ts_parser p JOIN ns n ON n.oid = p.prsnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_ts_parser'::regclass AND m.objid = p.oid)";

const TEMPLATE: &str = "
SELECT 'template ' || (pg_identify_object('pg_ts_template'::regclass, t.oid, 0)).identity, NULL,
  jsonb_build_object('init', nullif(t.tmplinit::oid, 0)::regprocedure::text,
    'lexize', t.tmpllexize::oid::regprocedure::text)
FROM pg_ts_template t JOIN ns n ON n.oid = t.tmplnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_ts_template'::regclass AND m.objid = t.oid)";
