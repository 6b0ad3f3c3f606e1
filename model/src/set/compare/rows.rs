//! Row counts, content hashes and sequence positions.

use std::collections::{BTreeMap, BTreeSet};

use crate::proof::Level;
use crate::set::catalogue::Category;
use crate::set::difference::{Checked, Difference, DifferenceKind};
use crate::set::manifest::{Contents, Sequence, Table, TableData, TableName};

/// Compares the rows of every table of the manifest whose rows are in the set. A table that is not
/// there at all is named by its definition; an extension's table has none and is named here.
pub(super) fn tables(
    expected: &Contents,
    found: &Contents,
    level: Level,
    checked: &mut Checked,
) -> Vec<Difference> {
    let there: BTreeMap<TableName, &Table> =
        found.tables.iter().map(|table| (table.table_name(), table)).collect();
    let mut differences = Vec::new();
    for table in expected.tables.iter().filter(|table| holds_rows(expected, table)) {
        match there.get(&table.table_name()) {
            Some(copy) => differences.extend(table_rows(table, copy, level, checked)),
            None if matches!(table.data, TableData::ExtensionConfig { .. }) => {
                differences.push(missing(Category::TableRows, &table.table_name()));
            }
            None => {}
        }
    }
    differences
}

fn holds_rows(expected: &Contents, table: &Table) -> bool {
    let name = table.table_name().to_string();
    let is_excluded = expected
        .exclusions
        .iter()
        .any(|exclusion| exclusion.category == Category::TableContent && exclusion.object == name);
    table.data != TableData::None && !is_excluded
}

fn table_rows(
    table: &Table,
    copy: &Table,
    level: Level,
    checked: &mut Checked,
) -> Option<Difference> {
    let name = table.table_name();
    let (Some(wanted), Some(rows)) = (table.rows, copy.rows) else {
        return Some(not_measured(Category::TableRows, &name, "its rows were not counted"));
    };
    checked.tables += 1;
    checked.rows += rows;
    if rows != wanted {
        let message = format!("table `{name}`: {rows} rows, the manifest says {wanted}");
        return Some(changed(Category::TableRows, &name, (wanted, rows), message));
    }
    if level < Level::Identical || !have_same_columns(table, copy) {
        return None;
    }
    let (Some(wanted), Some(hash)) = (&table.hash, &copy.hash) else {
        return Some(not_measured(Category::TableContent, &name, "its rows were not hashed"));
    };
    checked.hashes += 1;
    let message = format!("table `{name}`: as many rows as the manifest says, but not the same");
    (wanted != hash).then(|| changed(Category::TableContent, &name, (wanted, hash), message))
}

/// With other columns the rows cannot be the same; the column is named by its definition.
fn have_same_columns(table: &Table, copy: &Table) -> bool {
    let names = |table: &Table| table.columns.iter().cloned().collect::<BTreeSet<_>>();
    names(table) == names(copy)
}

/// Compares where the sequences stand. One that is not there is named by its definition, unless
/// it has none because an extension made it.
pub(super) fn sequences(
    expected: &Contents,
    found: &Contents,
    checked: &mut Checked,
) -> Vec<Difference> {
    let there: BTreeMap<TableName, &Sequence> =
        found.sequences.iter().map(|sequence| (sequence.sequence_name(), sequence)).collect();
    let mut differences = Vec::new();
    for sequence in &expected.sequences {
        let name = sequence.sequence_name();
        match there.get(&name) {
            Some(copy) => {
                checked.sequences += 1;
                differences.extend(position(sequence, copy));
            }
            None if !is_defined(expected, &name) => {
                differences.push(missing(Category::SequencePosition, &name));
            }
            None => {}
        }
    }
    differences
}

/// Names are compared without quotes: whether a word is quoted depends on the server's keywords.
fn is_defined(expected: &Contents, name: &TableName) -> bool {
    let bare = |text: &str| text.replace('"', "");
    let name = bare(&format!("{}.{}", name.schema, name.name));
    let mut definitions = expected.objects.iter();
    definitions
        .any(|object| object.category == Category::Sequence && bare(&object.identity) == name)
}

fn position(sequence: &Sequence, copy: &Sequence) -> Option<Difference> {
    let name = sequence.sequence_name();
    let (wanted, stands) = (next_value(sequence), next_value(copy));
    let moved_on =
        if sequence.cycle { stands == wanted } else { is_at_least(sequence, stands, wanted) };
    if !moved_on {
        let message = format!("sequence `{name}`: next value {stands}, the manifest says {wanted}");
        return Some(changed(Category::SequencePosition, &name, (wanted, stands), message));
    }
    let used = uncovered(copy).filter(|_| !sequence.cycle && uncovered(sequence).is_none())?;
    let column = copy.owned_by.as_ref().map_or("", |owner| owner.column.as_str());
    let message =
        format!("sequence `{name}`: next value {stands}, but column `{column}` already has {used}");
    Some(changed(Category::SequencePosition, &name, (used, stands), message))
}

/// The value that the sequence gives next, were it endless.
fn next_value(sequence: &Sequence) -> i128 {
    let step = if sequence.is_called { sequence.increment } else { 0 };
    i128::from(sequence.last_value) + i128::from(step)
}

fn is_at_least(sequence: &Sequence, value: i128, other: i128) -> bool {
    if sequence.increment < 0 { value <= other } else { value >= other }
}

/// The value in the owning column that the sequence would give again.
fn uncovered(sequence: &Sequence) -> Option<i64> {
    let furthest = sequence.owned_by.as_ref()?.furthest?;
    is_at_least(sequence, furthest.into(), next_value(sequence)).then_some(furthest)
}

/// Large objects whose contents one side did not read.
pub(super) fn large_objects(
    expected: &Contents,
    found: &Contents,
    checked: &mut Checked,
) -> Option<Difference> {
    expected.large_objects.hash.as_ref()?;
    if found.large_objects.hash.is_some() {
        checked.large_objects += expected.large_objects.count;
        return None;
    }
    Some(Difference {
        category: Category::LargeObjectContent,
        object: "all".to_owned(),
        kind: DifferenceKind::Changed,
        expected: None,
        found: None,
        message: "large objects: their contents were not read".to_owned(),
    })
}

fn missing(category: Category, name: &TableName) -> Difference {
    Difference {
        category,
        object: name.to_string(),
        kind: DifferenceKind::Missing,
        expected: None,
        found: None,
        message: format!("{category} of `{name}`: it is not there"),
    }
}

fn not_measured(category: Category, name: &TableName, why: &str) -> Difference {
    Difference {
        category,
        object: name.to_string(),
        kind: DifferenceKind::Changed,
        expected: None,
        found: None,
        message: format!("table `{name}`: {why}"),
    }
}

fn changed(
    category: Category,
    name: &TableName,
    (expected, found): (impl ToString, impl ToString),
    message: String,
) -> Difference {
    Difference {
        category,
        object: name.to_string(),
        kind: DifferenceKind::Changed,
        expected: Some(expected.to_string()),
        found: Some(found.to_string()),
        message,
    }
}
