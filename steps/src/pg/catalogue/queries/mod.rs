//! What is read from PostgreSQL's catalogues, one query for each kind of definition.
//!
//! Each query gives three columns: the identity, the identity of the object it belongs to (or
//! null), and a JSON object of attributes. Two queries of one category add attributes to the same
//! objects; this is how a query for newer versions adds what older ones do not have. Sources:
//! <https://www.postgresql.org/docs/current/catalogs.html> and
//! <https://www.postgresql.org/docs/current/functions-info.html>.

/// Further table expressions for the queries about owners and privileges: everything that has
/// an owner, with its privileges where its kind has any.
macro_rules! owned {
    () => {
        ", outside AS (SELECT $1::oid[] IS NULL AS asked),
owned AS (
  SELECT 'pg_class'::regclass AS classid, c.oid AS objid, c.relowner AS owner,
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\",
      c.relowner)) AS acl
  FROM rel c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typowner,
    coalesce(t.typacl, acldefault('T', t.typowner)) FROM typ t
  UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner)) FROM func p
  UNION ALL SELECT 'pg_namespace'::regclass, n.oid, n.nspowner,
    coalesce(n.nspacl, acldefault('n', n.nspowner)) FROM ns n JOIN outside ON asked
  UNION ALL SELECT 'pg_language'::regclass, l.oid, l.lanowner,
    coalesce(l.lanacl, acldefault('l', l.lanowner))
  FROM pg_language l JOIN outside ON asked WHERE l.oid >= 16384
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, w.oid, w.fdwowner,
    coalesce(w.fdwacl, acldefault('F', w.fdwowner))
  FROM pg_foreign_data_wrapper w JOIN outside ON asked
  UNION ALL SELECT 'pg_foreign_server'::regclass, s.oid, s.srvowner,
    coalesce(s.srvacl, acldefault('S', s.srvowner)) FROM pg_foreign_server s JOIN outside ON asked
  UNION ALL SELECT 'pg_largeobject'::regclass, l.oid, l.lomowner,
    coalesce(l.lomacl, acldefault('L', l.lomowner))
  FROM pg_largeobject_metadata l JOIN outside ON asked
  UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, s.stxowner, NULL
  FROM pg_statistic_ext s JOIN rel r ON r.oid = s.stxrelid
  UNION ALL SELECT 'pg_collation'::regclass, c.oid, c.collowner, NULL
  FROM pg_collation c JOIN ns n ON n.oid = c.collnamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_conversion'::regclass, c.oid, c.conowner, NULL
  FROM pg_conversion c JOIN ns n ON n.oid = c.connamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_operator'::regclass, o.oid, o.oprowner, NULL
  FROM pg_operator o JOIN ns n ON n.oid = o.oprnamespace JOIN outside ON asked
  WHERE o.oprcode <> 0
  UNION ALL SELECT 'pg_opclass'::regclass, c.oid, c.opcowner, NULL
  FROM pg_opclass c JOIN ns n ON n.oid = c.opcnamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_opfamily'::regclass, f.oid, f.opfowner, NULL
  FROM pg_opfamily f JOIN ns n ON n.oid = f.opfnamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_ts_dict'::regclass, d.oid, d.dictowner, NULL
  FROM pg_ts_dict d JOIN ns n ON n.oid = d.dictnamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_ts_config'::regclass, c.oid, c.cfgowner, NULL
  FROM pg_ts_config c JOIN ns n ON n.oid = c.cfgnamespace JOIN outside ON asked
  UNION ALL SELECT 'pg_event_trigger'::regclass, e.oid, e.evtowner, NULL
  FROM pg_event_trigger e JOIN outside ON asked
  UNION ALL SELECT 'pg_publication'::regclass, p.oid, p.pubowner, NULL
  FROM pg_publication p JOIN outside ON asked)
"
    };
}

mod access;
mod database;
mod foreign;
mod relations;
mod routines;
mod rules;
mod types;

use model::set::Category;

/// One query over the catalogues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    /// What it finds.
    pub category: Category,
    /// Whether it runs when only some tables are asked for.
    pub reach: Reach,
    /// The first `server_version_num` that has the columns it reads.
    pub from: u32,
    /// The SQL after [`COMMON`].
    pub sql: &'static str,
}

/// What a query covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Tables and what belongs to them: it reads `rel` and `con`, which hold nothing else then.
    Tables,
    /// The whole database.
    Database,
}

/// A query of a category for every supported version.
const fn tables(category: Category, sql: &'static str) -> Query {
    Query { category, reach: Reach::Tables, from: 0, sql }
}

/// The same for what does not belong to a table.
const fn database(category: Category, sql: &'static str) -> Query {
    Query { category, reach: Reach::Database, from: 0, sql }
}

/// A query that older servers do not understand.
const fn since(from: u32, query: Query) -> Query {
    Query { from, ..query }
}

/// Every query, in groups.
pub(super) const GROUPS: &[&[Query]] = &[
    database::QUERIES,
    types::QUERIES,
    routines::QUERIES,
    relations::QUERIES,
    rules::QUERIES,
    foreign::QUERIES,
    access::QUERIES,
];

/// Common table expressions in front of every query. `$1` holds the tables in scope with their
/// indexes and sequences, or null for the whole database. Members of extensions and the system's
/// own schemas are left out, as `pg_dump` leaves them out.
pub(super) const COMMON: &str = "
WITH member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
ns AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
rel AS (
  SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS identity,
    nullif(array_to_string(ARRAY(SELECT unnest(c.reloptions) ORDER BY 1), ', '), '') AS options
  FROM pg_class c JOIN ns n ON n.oid = c.relnamespace
  WHERE ($1::oid[] IS NULL OR c.oid = ANY ($1::oid[]))
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)),
con AS (
  SELECT k.*, r.identity AS table_identity, format('%I on %s', k.conname, r.identity) AS identity
  FROM pg_constraint k JOIN rel r ON r.oid = k.conrelid
  WHERE k.contype <> 't' AND k.conparentid = 0 AND (k.conislocal OR k.coninhcount = 0)
    AND ($1::oid[] IS NULL OR k.contype <> 'f' OR k.confrelid = ANY ($1::oid[]))),
typ AS (
  SELECT t.*, format('%I.%I', n.nspname, t.typname) AS identity
  FROM pg_type t JOIN ns n ON n.oid = t.typnamespace
  WHERE $1::oid[] IS NULL AND t.typelem = 0 AND t.typtype <> 'm'
    AND (t.typrelid = 0
      OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)),
func AS (
  SELECT p.*, (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity AS identity
  FROM pg_proc p JOIN ns n ON n.oid = p.pronamespace
  WHERE $1::oid[] IS NULL
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
      AND d.objid = p.oid AND d.deptype = 'i'))
";
