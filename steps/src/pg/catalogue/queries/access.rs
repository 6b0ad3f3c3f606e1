//! Who owns what, who may do what, and what is said about it.

use model::set::Category;

use super::{Query, database, tables};

pub(super) const QUERIES: &[Query] = &[
    tables(Category::Owner, OWNER),
    database(Category::Owner, SUBSCRIPTION_OWNER),
    tables(Category::Grant, GRANT),
    tables(Category::Grant, COLUMN_GRANT),
    database(Category::Grant, CHANGED_GRANT),
    database(Category::DefaultPrivilege, DEFAULT_PRIVILEGE),
    tables(Category::Comment, COMMENT),
    database(Category::SecurityLabel, SECURITY_LABEL),
    database(Category::LargeObject, LARGE_OBJECT),
];

/// A sequence that belongs to a column always has the table's owner, and is not named again.
const OWNER: &str = concat!(
    owned!(),
    "SELECT i.type || ' ' || i.identity, i.identity,
  jsonb_build_object('owner', o.owner::regrole::text)
FROM owned o, pg_identify_object(o.classid, o.objid, 0) i
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = o.classid AND m.objid = o.objid)
  AND NOT EXISTS (SELECT FROM pg_depend d JOIN rel r ON r.oid = d.objid AND r.relkind = 'S'
    WHERE d.classid = o.classid AND d.objid = o.objid AND d.refclassid = 'pg_class'::regclass
      AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))"
);

const SUBSCRIPTION_OWNER: &str = "
SELECT format('subscription %I', s.subname), format('%I', s.subname),
  jsonb_build_object('owner', s.subowner::regrole::text)
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = current_database()";

/// The attributes of an exploded access list `x`: each role with its privileges, `*` where it may
/// hand them on. The owner is written `(owner)`, so that a change of owner changes no grant.
macro_rules! privileges {
    ($list:literal, $owner:literal) => {
        concat!(
            "(SELECT coalesce(jsonb_object_agg(g.grantee, g.privileges), '{}') FROM (
    SELECT p.grantee, string_agg(p.privilege, ', ' ORDER BY p.privilege) AS privileges FROM (
      SELECT CASE x.grantee WHEN 0 THEN '(public)' WHEN ",
            $owner,
            " THEN '(owner)'
          ELSE x.grantee::regrole::text END AS grantee,
        x.privilege_type || CASE WHEN bool_or(x.is_grantable) THEN '*' ELSE '' END AS privilege
      FROM aclexplode(",
            $list,
            ") x GROUP BY x.grantee, x.privilege_type) p
    GROUP BY p.grantee) g)"
        )
    };
}

const GRANT: &str = concat!(
    owned!(),
    "SELECT i.type || ' ' || i.identity, i.identity, ",
    privileges!("o.acl", "o.owner"),
    "
FROM owned o, pg_identify_object(o.classid, o.objid, 0) i
WHERE o.acl IS NOT NULL AND NOT EXISTS (
  SELECT FROM member m WHERE m.classid = o.classid AND m.objid = o.objid)"
);

const COLUMN_GRANT: &str = concat!(
    "
SELECT format('column %s.%I', r.identity, a.attname),
  CASE WHEN r.relkind IN ('v', 'm') THEN r.identity
    ELSE format('%s.%I', r.identity, a.attname) END, ",
    privileges!("a.attacl", "r.relowner"),
    "
FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attacl IS NOT NULL
WHERE NOT a.attisdropped"
);

/// Privileges on the objects of `pg_catalog` and on members of extensions, where they are not the ones
/// that the installation gave (<https://www.postgresql.org/docs/current/catalog-pg-init-privs.html>).
const CHANGED_GRANT: &str = concat!(
    ", given AS (
  SELECT 'pg_class'::regclass AS classid, oid AS objid, 0 AS objsubid, relnamespace AS schema,
    relowner AS owner, relacl AS acl FROM pg_class
  UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, c.relnamespace, c.relowner, a.attacl
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL
  UNION ALL SELECT 'pg_proc'::regclass, oid, 0, pronamespace, proowner, proacl FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, 0, typnamespace, typowner, typacl FROM pg_type
  UNION ALL SELECT 'pg_language'::regclass, oid, 0, 'pg_catalog'::regnamespace, lanowner, lanacl
  FROM pg_language
  UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, oid, nspowner, nspacl FROM pg_namespace)
SELECT i.type || ' ' || i.identity, NULL, ",
    privileges!("o.acl", "o.owner"),
    "
FROM given o LEFT JOIN pg_init_privs p
    ON p.classoid = o.classid AND p.objoid = o.objid AND p.objsubid = o.objsubid,
  pg_identify_object(o.classid, o.objid, o.objsubid) i
WHERE o.acl IS NOT NULL
  AND ((o.objid < 16384 AND o.schema = 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM member m WHERE m.classid = o.classid AND m.objid = o.objid))
  AND ARRAY(SELECT unnest(o.acl)::text ORDER BY 1)
    <> ARRAY(SELECT unnest(p.initprivs)::text ORDER BY 1)"
);

const DEFAULT_PRIVILEGE: &str = concat!(
    "
SELECT format('%s on %s%s', d.defaclrole::regrole, CASE d.defaclobjtype WHEN 'r' THEN 'tables'
    WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
    WHEN 'n' THEN 'schemas' ELSE 'large objects' END, ' in schema ' || quote_ident(n.nspname)),
  NULL, ",
    privileges!("d.defaclacl", "d.defaclrole"),
    "
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace"
);

const COMMENT: &str = "
, described AS (
  SELECT d.*, CASE WHEN r.relkind IN ('i', 'I') THEN format('%I on %s', r.relname, t.identity)
    WHEN r.relkind IN ('v', 'm') THEN r.identity END AS belongs
  FROM pg_description d JOIN rel r ON r.oid = d.objoid
    LEFT JOIN pg_index i ON i.indexrelid = r.oid LEFT JOIN rel t ON t.oid = i.indrelid
  WHERE d.classoid = 'pg_class'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d JOIN con k ON k.oid = d.objoid
  WHERE d.classoid = 'pg_constraint'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d JOIN pg_trigger t ON t.oid = d.objoid
    JOIN rel r ON r.oid = t.tgrelid WHERE d.classoid = 'pg_trigger'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d JOIN pg_rewrite w ON w.oid = d.objoid
    JOIN rel r ON r.oid = w.ev_class WHERE d.classoid = 'pg_rewrite'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d JOIN pg_policy p ON p.oid = d.objoid
    JOIN rel r ON r.oid = p.polrelid WHERE d.classoid = 'pg_policy'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d JOIN pg_statistic_ext s ON s.oid = d.objoid
    JOIN rel r ON r.oid = s.stxrelid WHERE d.classoid = 'pg_statistic_ext'::regclass
  UNION ALL SELECT d.*, t.identity FROM pg_description d JOIN pg_constraint k ON k.oid = d.objoid
    JOIN typ t ON t.oid = k.contypid WHERE d.classoid = 'pg_constraint'::regclass
  UNION ALL SELECT d.*, NULL FROM pg_description d
  WHERE $1::oid[] IS NULL AND d.classoid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass,
      'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass,
      'pg_statistic_ext'::regclass)
    AND (d.objoid >= 16384 OR d.classoid = 'pg_largeobject'::regclass
      OR (d.classoid = 'pg_namespace'::regclass AND d.objoid IN (SELECT oid FROM ns)))
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid))
SELECT i.type || ' ' || i.identity, coalesce(d.belongs, i.identity),
  jsonb_build_object('text', d.description)
FROM described d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i";

const SECURITY_LABEL: &str = "
SELECT format('%I on %s %s', l.provider, i.type, i.identity), i.identity,
  jsonb_build_object('label', l.label)
FROM pg_seclabel l, pg_identify_object(l.classoid, l.objoid, l.objsubid) i
WHERE (l.objoid >= 16384 OR l.classoid = 'pg_largeobject'::regclass
    OR (l.classoid = 'pg_namespace'::regclass AND l.objoid IN (SELECT oid FROM ns)))
  AND NOT EXISTS (SELECT FROM member m WHERE m.classid = l.classoid AND m.objid = l.objoid)";

const LARGE_OBJECT: &str = "
SELECT l.oid::text, NULL, '{}'::jsonb
FROM pg_largeobject_metadata l";
