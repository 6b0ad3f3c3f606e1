//! Whether the tables of a set are those of the database.

use model::set::Category;
use model::set::manifest::{Manifest, Table, TableData};
use model::step_error::StepError;

use super::input::list_words;
use super::live::{Column, Live};

/// The table of the set, when its rows go into `live` as they are.
pub(super) fn table_for(manifest: &Manifest, live: &Live) -> Result<Table, StepError> {
    let found = manifest.contents.tables.iter().find(|table| table.table_name() == live.name);
    let table = found.ok_or_else(|| unfit(manifest, live, "holds no such table"))?;
    if table.data == TableData::None {
        let name = live.name.to_string();
        let excluded = manifest.contents.exclusions.iter().find(|it| it.object == name);
        let why = excluded.map(|it| format!(" ({})", it.reason)).unwrap_or_default();
        return Err(unfit(manifest, live, &format!("holds no row of it{why}")));
    }
    let copied = live.copied();
    let missing: Vec<_> =
        table.columns.iter().filter(|column| !copied.contains(&column.as_str())).collect();
    if !missing.is_empty() {
        let why = format!("has columns that the table has not: {}", list_words(&missing));
        return Err(unfit(manifest, live, &why));
    }
    let added: Vec<_> =
        copied.iter().filter(|column| !table.columns.iter().any(|it| it == *column)).collect();
    if !added.is_empty() {
        let why = format!("does not have columns that the table has: {}", list_words(&added));
        return Err(unfit(manifest, live, &why));
    }
    let changed: Vec<_> =
        live.columns.iter().filter_map(|column| other_type(manifest, live, column)).collect();
    if !changed.is_empty() {
        let why = format!("has columns of other types: {}", changed.join(", "));
        return Err(unfit(manifest, live, &why));
    }
    Ok(table.clone())
}

/// ``` `state`, text there and integer here ```, when the types differ.
fn other_type(manifest: &Manifest, live: &Live, column: &Column) -> Option<String> {
    let identity = format!("{}.{}", live.identity, column.quoted);
    let object = manifest
        .contents
        .objects
        .iter()
        .find(|object| object.category == Category::Column && object.identity == identity)?;
    let there = object.attributes.get("type").filter(|there| **there != column.kind)?;
    Some(format!("`{}`, {there} there and {} here", column.name, column.kind))
}

fn unfit(manifest: &Manifest, live: &Live, why: &str) -> StepError {
    let message = format!("set `{}` does not fit table `{}`: it {why}", manifest.set, live.name);
    StepError::permanent("RB0532", message).hint(
        "choose a set of the table as it is now, or restore the set aside with `pg.restore` and \
         bring the rows over by SQL; nothing was changed",
    )
}
