//! Compares what a copy holds with what the manifest says.

mod canonical;
mod definitions;
mod rows;
#[cfg(test)]
mod tests;
mod words;

use super::difference::{Checked, Difference};
use super::manifest::Contents;
use crate::proof::Level;

/// What a comparison found and how much it looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Every difference, by category and object.
    pub differences: Vec<Difference>,
    /// How much was looked at.
    pub checked: Checked,
}

/// Compares `found` with the manifest's `expected`. Level `complete` compares definitions, row
/// counts and sequences, `identical` the contents too; below them there is nothing to compare.
/// What the manifest excludes is left out; what the manifest does not mention is a difference,
/// except beside a manifest of some tables.
pub fn compare(expected: &Contents, found: &Contents, level: Level) -> Comparison {
    let mut checked = Checked { tables_total: expected.tables.len() as u64, ..Checked::default() };
    let mut differences = Vec::new();
    if level >= Level::Complete {
        differences.extend(rows::tables(expected, found, level, &mut checked));
        differences.extend(rows::sequences(expected, found, &mut checked));
        let (changed, definitions) = definitions::compare(expected, found, level);
        differences.extend(changed);
        checked.definitions = definitions;
    }
    if level >= Level::Identical {
        differences.extend(rows::large_objects(expected, found, &mut checked));
    }
    differences.sort();
    Comparison { differences, checked }
}
