//! What reaches other servers: foreign data, publications, subscriptions.

use model::set::Category;

use super::{Query, database, since, tables};

pub(super) const QUERIES: &[Query] = &[
    database(Category::ForeignDataWrapper, WRAPPER),
    database(Category::ForeignServer, SERVER),
    database(Category::UserMapping, USER_MAPPING),
    tables(Category::ForeignTable, TABLE),
    database(Category::Publication, PUBLICATION),
    database(Category::PublicationMember, PUBLICATION_TABLE),
    since(15_00_00, database(Category::PublicationMember, PUBLICATION_TABLE_PART)),
    since(15_00_00, database(Category::PublicationMember, PUBLICATION_SCHEMA)),
    database(Category::Subscription, SUBSCRIPTION),
];

const WRAPPER: &str = "
SELECT format('%I', w.fdwname), NULL, jsonb_build_object(
  'handler', nullif(w.fdwhandler, 0)::regprocedure::text,
  'validator', nullif(w.fdwvalidator, 0)::regprocedure::text,
  'options', nullif(array_to_string(ARRAY(SELECT unnest(w.fdwoptions) ORDER BY 1), ', '), ''))
FROM pg_foreign_data_wrapper w
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = w.oid)";

const SERVER: &str = "
SELECT format('%I', s.srvname), NULL, jsonb_build_object('wrapper', format('%I', w.fdwname),
  'type', s.srvtype, 'version', s.srvversion,
  'options', nullif(array_to_string(ARRAY(SELECT unnest(s.srvoptions) ORDER BY 1), ', '), ''))
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_foreign_server'::regclass AND m.objid = s.oid)";

const USER_MAPPING: &str = "
SELECT format('%s on %I', CASE WHEN u.umuser = 0 THEN 'public' ELSE u.umuser::regrole::text END,
  u.srvname), format('%I', u.srvname), '{}'::jsonb
FROM pg_user_mappings u";

const TABLE: &str = "
SELECT r.identity, r.identity, jsonb_build_object('server', format('%I', s.srvname),
  'options', nullif(array_to_string(ARRAY(SELECT unnest(f.ftoptions) ORDER BY 1), ', '), ''))
FROM rel r JOIN pg_foreign_table f ON f.ftrelid = r.oid
  JOIN pg_foreign_server s ON s.oid = f.ftserver";

const PUBLICATION: &str = "
SELECT format('%I', p.pubname), NULL, jsonb_build_object('all_tables', p.puballtables,
  'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
  'truncate', p.pubtruncate, 'via_root', p.pubviaroot)
FROM pg_publication p
WHERE NOT EXISTS (
  SELECT FROM member m WHERE m.classid = 'pg_publication'::regclass AND m.objid = p.oid)";

const PUBLICATION_TABLE: &str = "
SELECT format('table %s in %I', r.identity, p.pubname), format('%I', p.pubname), '{}'::jsonb
FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
  JOIN rel r ON r.oid = m.prrelid";

const PUBLICATION_TABLE_PART: &str = "
SELECT format('table %s in %I', r.identity, p.pubname), format('%I', p.pubname),
  jsonb_build_object('filter', pg_get_expr(m.prqual, m.prrelid), 'columns', (
    SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attname)
    FROM pg_attribute a WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs)))
FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
  JOIN rel r ON r.oid = m.prrelid";

const PUBLICATION_SCHEMA: &str = "
SELECT format('schema %I in %I', n.nspname, p.pubname), format('%I', p.pubname), '{}'::jsonb
FROM pg_publication_namespace m JOIN pg_publication p ON p.oid = m.pnpubid
  JOIN pg_namespace n ON n.oid = m.pnnspid";

const SUBSCRIPTION: &str = "
SELECT format('%I', s.subname), NULL, jsonb_build_object('slot', s.subslotname,
  'publications', array_to_string(ARRAY(SELECT unnest(s.subpublications) ORDER BY 1), ', '))
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = current_database()";
