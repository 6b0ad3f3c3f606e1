//! Tables and what belongs to them, sequences, views.

use model::set::Category;

use super::{Query, since, tables};

pub(super) const QUERIES: &[Query] = &[
    tables(Category::Table, TABLE),
    tables(Category::Column, COLUMN),
    since(14_00_00, tables(Category::Column, COLUMN_COMPRESSION)),
    tables(Category::Inheritance, INHERITANCE),
    tables(Category::Partition, PARTITION),
    tables(Category::Partition, PARTITIONED),
    tables(Category::Constraint, CONSTRAINT),
    tables(Category::Constraint, CONSTRAINT_INDEX),
    tables(Category::Index, INDEX),
    tables(Category::Statistics, STATISTICS),
    since(14_00_00, tables(Category::Statistics, STATISTICS_EXPRESSIONS)),
    tables(Category::View, VIEW),
    tables(Category::MaterializedView, MATERIALIZED_VIEW),
    tables(Category::ReplicaIdentity, REPLICA_IDENTITY),
    tables(Category::Sequence, SEQUENCE),
    tables(Category::Tablespace, TABLESPACE),
];

const TABLE: &str = "
SELECT r.identity, NULL, jsonb_build_object(
  'kind', CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table'
    ELSE 'foreign table' END,
  'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
  'options', r.options, 'of_type', CASE WHEN r.reloftype <> 0 THEN format_type(r.reloftype, NULL) END,
  'access_method', (SELECT a.amname FROM pg_am a WHERE a.oid = r.relam),
  'toast_options', (SELECT nullif(array_to_string(ARRAY(
      SELECT unnest(t.reloptions) ORDER BY 1), ', '), '')
    FROM pg_class t WHERE t.oid = r.reltoastrelid))
FROM rel r
WHERE r.relkind IN ('r', 'p', 'f')";

const COLUMN: &str = "
SELECT format('%s.%I', r.identity, a.attname), r.identity, jsonb_build_object(
  'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
  'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
  'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
  'generated_kind', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
  'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
  'collation', CASE WHEN a.attcollation <> t.typcollation
    THEN nullif(a.attcollation, 0)::regcollation::text END,
  'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
    WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END,
  'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
  'options', nullif(array_to_string(ARRAY(SELECT unnest(a.attoptions) ORDER BY 1), ', '), ''),
  'foreign_options', nullif(array_to_string(ARRAY(
    SELECT unnest(a.attfdwoptions) ORDER BY 1), ', '), ''))
FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'f', 'c') OR (r.relkind IN ('v', 'm') AND a.atthasdef)";

const COLUMN_COMPRESSION: &str = "
SELECT format('%s.%I', r.identity, a.attname), r.identity, jsonb_build_object('compression',
  CASE a.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END)
FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE r.relkind IN ('r', 'p', 'f') AND a.attcompression <> ''";

const INHERITANCE: &str = "
SELECT r.identity, r.identity, jsonb_build_object('parents',
  string_agg(format('%I.%I', n.nspname, p.relname), ', ' ORDER BY i.inhseqno))
FROM rel r JOIN pg_inherits i ON i.inhrelid = r.oid JOIN pg_class p ON p.oid = i.inhparent
  JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE NOT r.relispartition AND r.relkind IN ('r', 'f')
GROUP BY r.identity";

const PARTITION: &str = "
SELECT r.identity, r.identity, jsonb_build_object(
  'parent', format('%I.%I', n.nspname, p.relname), 'bound', pg_get_expr(r.relpartbound, r.oid))
FROM rel r JOIN pg_inherits i ON i.inhrelid = r.oid JOIN pg_class p ON p.oid = i.inhparent
  JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE r.relispartition AND r.relkind IN ('r', 'p', 'f')";

const PARTITIONED: &str = "
SELECT r.identity, r.identity, jsonb_build_object('key', pg_get_partkeydef(r.oid))
FROM rel r
WHERE r.relkind = 'p'";

const CONSTRAINT: &str = "
SELECT k.identity, k.table_identity, jsonb_build_object(
  'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
  'validated', k.convalidated)
FROM con k";

const CONSTRAINT_INDEX: &str = "
SELECT k.identity, k.table_identity, jsonb_build_object('options', nullif(array_to_string(ARRAY(
    SELECT unnest(c.reloptions) ORDER BY 1), ', '), ''),
  'clustered', nullif(i.indisclustered, false))
FROM con k JOIN pg_index i ON i.indexrelid = k.conindid JOIN pg_class c ON c.oid = k.conindid
WHERE k.contype IN ('p', 'u', 'x')";

const INDEX: &str = "
SELECT format('%I on %s', r.relname, t.identity), t.identity, jsonb_build_object(
  'definition', pg_get_indexdef(r.oid), 'valid', i.indisvalid,
  'clustered', nullif(i.indisclustered, false),
  'partition_of', (SELECT format('%I.%I', n.nspname, p.relname)
    FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
      JOIN pg_namespace n ON n.oid = p.relnamespace
    WHERE h.inhrelid = r.oid))
FROM rel r JOIN pg_index i ON i.indexrelid = r.oid JOIN rel t ON t.oid = i.indrelid
WHERE (i.indisvalid OR r.relkind = 'I') AND NOT EXISTS (
  SELECT FROM pg_constraint k WHERE k.conindid = r.oid AND k.contype IN ('p', 'u', 'x'))";

const STATISTICS: &str = "
SELECT format('%I.%I', n.nspname, s.stxname), r.identity, jsonb_build_object(
  'table', r.identity, 'kinds', (SELECT string_agg(k::text, ', ' ORDER BY k)
    FROM unnest(s.stxkind) k WHERE k <> 'e'),
  'columns', (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attname)
    FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)),
  'target', CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END)
FROM pg_statistic_ext s JOIN rel r ON r.oid = s.stxrelid
  JOIN pg_namespace n ON n.oid = s.stxnamespace";

/// Not the whole definition, which is printed without the parentheses that tell forms apart.
const STATISTICS_EXPRESSIONS: &str = "
SELECT format('%I.%I', n.nspname, s.stxname), r.identity, jsonb_build_object('expressions',
  array_to_string(pg_get_statisticsobjdef_expressions(s.oid), ', '))
FROM pg_statistic_ext s JOIN rel r ON r.oid = s.stxrelid
  JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxexprs IS NOT NULL";

const VIEW: &str = "
SELECT r.identity, NULL,
  jsonb_build_object('definition', pg_get_viewdef(r.oid), 'options', r.options)
FROM rel r
WHERE r.relkind = 'v'";

const MATERIALIZED_VIEW: &str = "
SELECT r.identity, NULL, jsonb_build_object('definition', pg_get_viewdef(r.oid),
  'options', r.options, 'populated', r.relispopulated,
  'access_method', (SELECT a.amname FROM pg_am a WHERE a.oid = r.relam))
FROM rel r
WHERE r.relkind = 'm'";

const REPLICA_IDENTITY: &str = "
SELECT r.identity, r.identity, jsonb_build_object('replica_identity', CASE r.relreplident
  WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' ELSE 'index ' || (
    SELECT format('%I', c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = r.oid AND i.indisreplident) END)
FROM rel r
WHERE r.relkind IN ('r', 'p', 'm') AND r.relreplident <> 'd'";

const SEQUENCE: &str = "
SELECT r.identity, o.table_identity, jsonb_build_object('type', format_type(s.seqtypid, NULL),
  'start', s.seqstart, 'increment', s.seqincrement, 'minimum', s.seqmin, 'maximum', s.seqmax,
  'cache', s.seqcache, 'cycle', s.seqcycle, 'owned_by', o.column_identity,
  'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END)
FROM rel r JOIN pg_sequence s ON s.seqrelid = r.oid LEFT JOIN LATERAL (
  SELECT format('%I.%I', n.nspname, t.relname) AS table_identity,
    format('%I.%I.%I', n.nspname, t.relname, a.attname) AS column_identity
  FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
    AND d.deptype IN ('a', 'i')) o ON true
WHERE r.relkind = 'S'";

const TABLESPACE: &str = "
SELECT r.identity, r.identity, jsonb_build_object('tablespace', t.spcname)
FROM rel r JOIN pg_tablespace t ON t.oid = r.reltablespace";
