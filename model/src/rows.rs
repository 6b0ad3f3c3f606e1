//! A bundle of rows: some rows of a database as a folder of files. `docs/formats/rows.md` describes
//! it; every field here is frozen for version 1.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::set::manifest::{Created, Server};

/// The version of the form that this program writes and reads.
pub const VERSION: u32 = 1;

/// The file of the folder that is written last: its presence makes the bundle.
pub const FILE: &str = "rows.json";

/// What a folder of rows holds and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`VERSION`] when written.
    pub version: u32,
    /// What the rows are for.
    pub kind: Kind,
    /// Rows: the database they come from. Undo: the database that was changed.
    pub database: String,
    /// The backup set they come from, when there is one.
    pub set: Option<String>,
    /// The moment the rows are of, when it is known.
    pub recovery_point: Option<Timestamp>,
    /// Rows: how many were chosen, without those that only belong to them. Undo: 0.
    pub chosen: u64,
    /// Which attempt of which step wrote the bundle.
    pub created: Created,
    /// The server that was read.
    pub server: Server,
    /// The version of `runbook` that wrote the bundle.
    pub runbook: String,
    /// The tables, in the order in which they were found.
    pub tables: Vec<Table>,
}

/// What the rows are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They can be brought into a database.
    Rows,
    /// They take back what bringing them in changed.
    Undo,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name; of a partitioned table, never of a partition.
    pub name: String,
    /// The columns of every file, in their order. Generated columns are not among them.
    pub columns: Vec<Column>,
    /// The columns by which a row is known: the primary key, or a unique key without nulls.
    pub key: Vec<String>,
    /// Why rows of this table are here, in words.
    pub why: Vec<String>,
    /// The files.
    pub parts: Vec<Part>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as PostgreSQL writes it: `numeric(10,2)`.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// One file of COPY text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What its rows are.
    pub role: Role,
    /// Its name in the folder.
    pub path: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Rows that were chosen, and those that hang on them.
    Rows,
    /// Rows that those need.
    Parents,
    /// Undo: rows that were inserted, as they stood then.
    Inserted,
    /// Undo: rows that were overwritten, as they were before.
    Before,
    /// Undo: the same rows, as they stood afterwards, in the same order.
    After,
}

/// Why bytes are no bundle of this version.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON of this form.
    #[error("not a bundle of rows of version {VERSION}: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by another program, most likely a newer one.
    #[error("a bundle of rows of version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// A name, a key or a role that cannot be.
    #[error("not a bundle of rows: {0}")]
    Content(String),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Bundle {
    /// Reads `rows.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let bundle: Self = serde_json::from_slice(bytes)?;
        bundle.tables.iter().try_for_each(|table| table.check(bundle.kind))?;
        Ok(bundle)
    }

    /// The bytes of `rows.json`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a bundle has text keys only");
        bytes.push(b'\n');
        bytes
    }

    /// Rows in files of that role.
    pub fn rows(&self, role: Role) -> u64 {
        self.tables.iter().map(|table| table.rows(role)).sum()
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(Table::bytes).sum()
    }
}

impl Table {
    /// Rows in files of that role.
    pub fn rows(&self, role: Role) -> u64 {
        self.parts.iter().filter(|part| part.role == role).map(|part| part.rows).sum()
    }

    /// Bytes in its files.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn check(&self, kind: Kind) -> Result<(), BundleError> {
        let refused = |what: String| Err(BundleError::Content(what));
        let has = |name: &String| self.columns.iter().any(|column| column.name == *name);
        if self.key.is_empty() || !self.key.iter().all(has) {
            return refused(format!(
                "the key of `{}.{}` is not among its columns",
                self.schema, self.name
            ));
        }
        for part in &self.parts {
            if !is_file_name(&part.path) {
                return refused(format!("`{}` is not the name of a file", part.path));
            }
            let of_rows = matches!(part.role, Role::Rows | Role::Parents);
            if of_rows != (kind == Kind::Rows) {
                return refused(format!("`{}` has a role of another kind of bundle", part.path));
            }
        }
        Ok(())
    }
}

/// A name that cannot lead out of the folder.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

impl Role {
    /// The word in the names of files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Parents => "parents",
            Self::Inserted => "inserted",
            Self::Before => "before",
            Self::After => "after",
        }
    }
}
