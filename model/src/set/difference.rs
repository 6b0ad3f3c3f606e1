//! What a comparison finds, in words that name the object.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue::Category;

/// One thing that is not as the manifest says.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// What kind of thing it is.
    pub category: Category,
    /// Which one, quoted as SQL quotes it: `orders_user_fk on public.orders`.
    pub object: String,
    /// How it differs.
    pub kind: DifferenceKind,
    /// What the manifest says, shortened. Absent when the manifest does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was found, shortened. Absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// All of it as one sentence: ``table `public.orders`: 41999 rows, the manifest says 42000``.
    pub message: String,
}

/// How something differs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// In the manifest, not there.
    Missing,
    /// There, not in the manifest.
    Unexpected,
    /// There, but not the same.
    Changed,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How much a comparison looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// Tables whose rows were counted (and hashed, from level `identical` on).
    pub tables: u64,
    /// Tables of the manifest that can hold rows.
    pub tables_total: u64,
    /// Rows of the tables that were counted.
    pub rows: u64,
    /// Tables whose content hash was compared.
    pub hashes: u64,
    /// Sequences whose position was compared.
    pub sequences: u64,
    /// Large objects whose content was compared.
    pub large_objects: u64,
    /// Objects of the set whose size and SHA-256 were compared.
    pub files: u64,
    /// Definitions that were compared, by category.
    pub definitions: BTreeMap<Category, u64>,
}

impl fmt::Display for Checked {
    /// ``proved 41 of 43 tables, 1204511 rows, 12 sequences, 618 definitions``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definitions: u64 = self.definitions.values().sum();
        write!(
            f,
            "proved {} of {} tables, {} rows, {} sequences, {definitions} definitions",
            self.tables, self.tables_total, self.rows, self.sequences
        )?;
        if self.large_objects > 0 {
            write!(f, ", {} large objects", self.large_objects)?;
        }
        Ok(())
    }
}
