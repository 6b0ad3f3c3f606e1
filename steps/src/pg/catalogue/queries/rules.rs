//! What happens when a table is touched: triggers, rules, policies.

use model::set::Category;

use super::{Query, tables};

pub(super) const QUERIES: &[Query] = &[
    tables(Category::Trigger, TRIGGER),
    tables(Category::Rule, RULE),
    tables(Category::Policy, POLICY),
    tables(Category::RowSecurity, ROW_SECURITY),
];

/// A partition's copy of its parent's trigger is named only when it is switched differently.
const TRIGGER: &str = "
SELECT format('%I on %s', t.tgname, r.identity), r.identity, jsonb_build_object(
  'definition', pg_get_triggerdef(t.oid), 'enabled', CASE t.tgenabled WHEN 'O' THEN 'true'
    WHEN 'D' THEN 'false' WHEN 'R' THEN 'replica' ELSE 'always' END)
FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE NOT t.tgisinternal AND (p.oid IS NULL OR p.tgenabled <> t.tgenabled)";

const RULE: &str = "
SELECT format('%I on %s', w.rulename, r.identity), r.identity, jsonb_build_object(
  'definition', pg_get_ruledef(w.oid), 'enabled', CASE w.ev_enabled WHEN 'O' THEN 'true'
    WHEN 'D' THEN 'false' WHEN 'R' THEN 'replica' ELSE 'always' END)
FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class
WHERE w.rulename <> '_RETURN'";

const POLICY: &str = "
SELECT format('%I on %s', p.polname, r.identity), r.identity, jsonb_build_object(
  'command', CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
    WHEN 'd' THEN 'delete' ELSE 'all' END,
  'permissive', p.polpermissive,
  'roles', (SELECT string_agg(o.name, ', ' ORDER BY o.name) FROM (
    SELECT CASE WHEN u.role = 0 THEN 'public' ELSE u.role::regrole::text END AS name
    FROM unnest(p.polroles) u (role)) o),
  'using', pg_get_expr(p.polqual, p.polrelid),
  'with_check', pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN rel r ON r.oid = p.polrelid";

const ROW_SECURITY: &str = "
SELECT r.identity, r.identity,
  jsonb_build_object('enabled', r.relrowsecurity, 'forced', r.relforcerowsecurity)
FROM rel r
WHERE r.relkind IN ('r', 'p')";
