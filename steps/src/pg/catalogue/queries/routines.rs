//! Functions, casts, operators and what is built of them.

use model::set::Category;

use super::{Query, database};

pub(super) const QUERIES: &[Query] = &[
    database(Category::Function, FUNCTION),
    database(Category::Function, AGGREGATE),
    database(Category::Cast, CAST),
    database(Category::Transform, TRANSFORM),
    database(Category::Operator, OPERATOR),
    database(Category::OperatorClass, OPERATOR_CLASS),
    database(Category::OperatorFamily, OPERATOR_FAMILY),
    database(Category::EventTrigger, EVENT_TRIGGER),
];

const FUNCTION: &str = "
SELECT p.identity, NULL, jsonb_build_object(
  'kind', CASE p.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' ELSE 'window' END,
  'definition', pg_get_functiondef(p.oid))
FROM func p
WHERE p.prokind <> 'a'";

const AGGREGATE: &str = "
SELECT p.identity, NULL, jsonb_build_object('kind', 'aggregate',
  'arguments', pg_get_function_arguments(p.oid), 'result', pg_get_function_result(p.oid),
  'aggregate_kind', a.aggkind::text, 'direct_arguments', a.aggnumdirectargs,
  'transition', a.aggtransfn::oid::regprocedure::text,
  'final', nullif(a.aggfinalfn::oid, 0)::regprocedure::text,
  'combine', nullif(a.aggcombinefn::oid, 0)::regprocedure::text,
  'serial', nullif(a.aggserialfn::oid, 0)::regprocedure::text,
  'deserial', nullif(a.aggdeserialfn::oid, 0)::regprocedure::text,
  'moving_transition', nullif(a.aggmtransfn::oid, 0)::regprocedure::text,
  'moving_inverse', nullif(a.aggminvtransfn::oid, 0)::regprocedure::text,
  'moving_final', nullif(a.aggmfinalfn::oid, 0)::regprocedure::text,
  'final_extra', a.aggfinalextra, 'final_modify', a.aggfinalmodify::text,
  'moving_final_extra', a.aggmfinalextra, 'moving_final_modify', a.aggmfinalmodify::text,
  'sort_operator', nullif(a.aggsortop::oid, 0)::regoperator::text,
  'state_type', format_type(a.aggtranstype, NULL), 'state_size', nullif(a.aggtransspace, 0),
  'moving_state_type', CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
  'initial', a.agginitval, 'moving_initial', a.aggminitval, 'parallel', p.proparallel::text)
FROM func p JOIN pg_aggregate a ON a.aggfnoid = p.oid";

const CAST: &str = "
SELECT (pg_identify_object('pg_cast'::regclass, c.oid, 0)).identity, NULL,
  jsonb_build_object('context', c.castcontext::text, 'method', c.castmethod::text,
    'function', nullif(c.castfunc, 0)::regprocedure::text)
FROM pg_cast c
WHERE c.oid >= 16384
  AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_cast'::regclass AND m.objid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass
    AND d.objid = c.oid AND d.deptype = 'i')";

const TRANSFORM: &str = "
SELECT (pg_identify_object('pg_transform'::regclass, t.oid, 0)).identity, NULL,
  jsonb_build_object('from_sql', nullif(t.trffromsql::oid, 0)::regprocedure::text,
    'to_sql', nullif(t.trftosql::oid, 0)::regprocedure::text)
FROM pg_transform t
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_transform'::regclass AND m.objid = t.oid)";

const OPERATOR: &str = "
SELECT (pg_identify_object('pg_operator'::regclass, o.oid, 0)).identity, NULL,
  jsonb_build_object('function', nullif(o.oprcode::oid, 0)::regprocedure::text,
    'result', format_type(o.oprresult, NULL),
    'commutator', nullif(o.oprcom, 0)::regoperator::text,
    'negator', nullif(o.oprnegate, 0)::regoperator::text,
    'restrict', nullif(o.oprrest::oid, 0)::regprocedure::text,
    'join', nullif(o.oprjoin::oid, 0)::regprocedure::text,
    'hashes', o.oprcanhash, 'merges', o.oprcanmerge)
FROM pg_operator o JOIN ns n ON n.oid = o.oprnamespace
WHERE o.oprcode <> 0 AND NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)";

const OPERATOR_CLASS: &str = "
SELECT (pg_identify_object('pg_opclass'::regclass, c.oid, 0)).identity, NULL,
  jsonb_build_object('type', format_type(c.opcintype, NULL), 'default', c.opcdefault,
    'storage', CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END,
    'family', (pg_identify_object('pg_opfamily'::regclass, c.opcfamily, 0)).identity)
FROM pg_opclass c JOIN ns n ON n.oid = c.opcnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_opclass'::regclass AND m.objid = c.oid)";

const OPERATOR_FAMILY: &str = "
SELECT (pg_identify_object('pg_opfamily'::regclass, f.oid, 0)).identity, NULL,
  coalesce((SELECT jsonb_object_agg(format('operator %s (%s, %s)', o.amopstrategy,
      format_type(o.amoplefttype, NULL), format_type(o.amoprighttype, NULL)),
      o.amopopr::regoperator::text) FROM pg_amop o WHERE o.amopfamily = f.oid), '{}')
  || coalesce((SELECT jsonb_object_agg(format('function %s (%s, %s)', p.amprocnum,
      format_type(p.amproclefttype, NULL), format_type(p.amprocrighttype, NULL)),
      p.amproc::oid::regprocedure::text) FROM pg_amproc p WHERE p.amprocfamily = f.oid), '{}')
FROM pg_opfamily f JOIN ns n ON n.oid = f.opfnamespace
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid)";

const EVENT_TRIGGER: &str = "
SELECT format('%I', e.evtname), NULL, jsonb_build_object('event', e.evtevent,
  'function', e.evtfoid::regprocedure::text,
  'tags', array_to_string(ARRAY(SELECT unnest(e.evttags) ORDER BY 1), ', '),
  'enabled', CASE e.evtenabled WHEN 'O' THEN 'true' WHEN 'D' THEN 'false'
    WHEN 'R' THEN 'replica' ELSE 'always' END)
FROM pg_event_trigger e
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid)";
