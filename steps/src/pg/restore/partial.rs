//! A set of some tables: every definition, the rows of few.

use std::path::Path;

use engine::context::StepContext;
use model::set::{CatalogueObject, Category};
use model::step_error::StepError;

use super::stage::Staged;
use crate::pg::programs;
use crate::pg::target::Target;

/// Entries of an archive that need the rows of other tables.
const NEED_ROWS: [&str; 2] = [" FK CONSTRAINT ", " MATERIALIZED VIEW DATA "];

/// The archive's table of contents without those entries, for `pg_restore --use-list`.
/// <https://www.postgresql.org/docs/current/app-pgrestore.html>
pub(in crate::pg) async fn list(
    ctx: &StepContext,
    target: Option<&Target>,
    archive: &Path,
) -> Result<Staged, StepError> {
    let args = ["--list".to_owned(), archive.to_string_lossy().into_owned()];
    let listed = programs::output_offline(ctx, target, "pg_restore", &args).await?;
    Staged::text(archive.with_extension("list"), &without_needy(&listed)).await
}

/// A line is `<id>; <catalogue> <oid> <kind> <schema> <name> <owner>`: the kind follows two
/// numbers, so a table of a funny name is not taken for one.
fn without_needy(list: &str) -> String {
    let is_needy = |line: &str| {
        let kind = line.splitn(4, ' ').nth(3).map(|rest| format!(" {rest}"));
        kind.is_some_and(|kind| NEED_ROWS.iter().any(|needy| kind.starts_with(needy)))
    };
    list.lines().filter(|line| !is_needy(line)).fold(String::new(), |text, line| text + line + "\n")
}

/// The foreign keys between tables of the set, as statements; those to other tables are among the
/// manifest's exclusions and not among its objects.
pub(in crate::pg) fn foreign_keys(objects: &[CatalogueObject]) -> Vec<String> {
    objects.iter().filter_map(foreign_key).collect()
}

fn foreign_key(object: &CatalogueObject) -> Option<String> {
    let definition = object.attributes.get("definition")?;
    if object.category != Category::Constraint || !definition.starts_with("FOREIGN KEY") {
        return None;
    }
    let table = object.belongs_to.as_deref()?;
    let name = object.identity.strip_suffix(&format!(" on {table}"))?;
    let is_validated =
        object.attributes.get("validated").is_none_or(|validated| validated == "true");
    let not_valid = if is_validated { "" } else { " NOT VALID" };
    Some(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{not_valid}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_entries_of_those_kinds_are_left_out() {
        let list = ";\n; Archive created at 2026\n;\n\
            3456; 2606 16999 FK CONSTRAINT billing payments payments_enrolment lms_owner\n\
            3457; 2606 17000 CONSTRAINT public a FK CONSTRAINT x\n\
            3458; 0 17001 MATERIALIZED VIEW DATA billing revenue lms_owner\n\
            3459; 1259 17002 INDEX public MATERIALIZED VIEW DATA x\n";
        let kept = ";\n; Archive created at 2026\n;\n\
            3457; 2606 17000 CONSTRAINT public a FK CONSTRAINT x\n\
            3459; 1259 17002 INDEX public MATERIALIZED VIEW DATA x\n";
        assert_eq!(without_needy(list), kept);
    }

    #[test]
    fn a_foreign_key_becomes_a_statement() {
        let definition = "FOREIGN KEY (a) REFERENCES public.b(id)";
        let object = |validated: &str| CatalogueObject {
            category: Category::Constraint,
            identity: "\"a on b\" on public.\"A\"".to_owned(),
            belongs_to: Some("public.\"A\"".to_owned()),
            attributes: BTreeMap::from([
                ("definition".to_owned(), definition.to_owned()),
                ("validated".to_owned(), validated.to_owned()),
            ]),
        };
        let add = format!("ALTER TABLE public.\"A\" ADD CONSTRAINT \"a on b\" {definition}");
        let statements = foreign_keys(&[object("true"), object("false")]);
        assert_eq!(statements, [add.clone(), format!("{add} NOT VALID")]);
    }
}
