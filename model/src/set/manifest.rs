//! The manifest of a backup set, `manifest.json`: written last, so that its presence commits the
//! set. `docs/formats/set.md` describes it; every field here is frozen for version 1.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue::{CatalogueObject, Category};
use super::id::SetId;
use super::text_number;
use crate::ids::{RunId, StepId};

/// The version of the form that this program writes and reads.
pub const VERSION: u32 = 1;

/// What a set holds and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`] when written.
    pub version: u32,
    /// The id of the set; a manifest in another set's folder is refused.
    pub set: SetId,
    /// The database that was read.
    pub database: String,
    /// A free word that tells sets of one database apart (`nightly`, `pre-restore`).
    pub label: Option<String>,
    /// How the rows are written. Absent in the text for `objects`.
    #[serde(default, skip_serializing_if = "Format::is_objects")]
    pub format: Format,
    /// For whom its objects are encrypted; absent when they are not. This manifest, the
    /// instructions and the proofs never are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Which attempt of which step wrote the set.
    pub created: Created,
    /// The server that was read, at the snapshot.
    pub server: Server,
    /// The version of `runbook` that wrote the set.
    pub runbook: String,
    /// Programs that wrote parts of the set, with their arguments. No secret is in an argument.
    pub programs: Vec<Program>,
    /// The algorithm of every content hash of a table: [`super::row_hash::ALGORITHM`].
    pub row_hash: String,
    /// What was in the database.
    pub contents: Contents,
    /// Every object of the set except the manifest itself and the proofs, by path.
    pub files: Vec<File>,
}

/// For whom objects are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// By age, for these recipients.
    Age(Vec<String>),
    /// By gpg, for these recipients.
    Gpg(Vec<String>),
}

/// How a set holds the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Definitions by `pg_dump`, rows as objects of COPY text, one or more for each table.
    #[default]
    Objects,
    /// One archive of `pg_dump --format=custom`.
    Custom,
    /// The folder of `pg_dump --format=directory`.
    Directory,
    /// SQL text of `pg_dump --format=plain`, compressed or not.
    Plain,
}

/// What a database holds: of the source in a manifest, or of a restored copy beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The whole database, or some tables.
    pub scope: Scope,
    /// Every table that can hold rows, by schema and name.
    pub tables: Vec<Table>,
    /// Where every sequence stands, by schema and name.
    pub sequences: Vec<Sequence>,
    /// How many large objects there are, and their joint hash.
    pub large_objects: LargeObjects,
    /// Every definition, by category and identity.
    pub objects: Vec<CatalogueObject>,
    /// What is in the database but not in the set, or not in its proof, and why.
    pub exclusions: Vec<Exclusion>,
}

/// What a set covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole database.
    Full,
    /// These tables with what belongs to them, by schema and name.
    Tables(Vec<TableName>),
    /// Every definition; no row, no large object, no position of a sequence.
    Definitions,
}

/// The name of a table, unquoted, in two parts.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table within it.
    pub name: String,
}

/// Which attempt wrote the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Created {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The attempt of the step, from 1.
    pub attempt: u32,
}

/// The server that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `server_version`: `15.14 (Debian 15.14-0+deb12u1)`.
    pub version: String,
    /// `server_version_num`: 150014.
    pub version_num: u32,
    /// The cluster's system identifier, as text: it passes 2^53. Absent where the role may not
    /// read it.
    pub system_identifier: Option<String>,
    /// The timeline. Absent where the role may not read it.
    pub timeline: Option<u32>,
    /// The write position, or on a standby the replay position, when the snapshot was taken:
    /// `2/9A0000C8`.
    pub lsn: Option<String>,
    /// Where it was reached: `db.internal:5432`.
    pub endpoint: String,
    /// The role that read it.
    pub role: String,
    /// It was a standby.
    pub in_recovery: bool,
    /// The snapshot holds every transaction that was committed before this moment (on a
    /// standby: that had been replayed by then).
    #[schemars(with = "String")]
    pub snapshot_time: Timestamp,
    /// On a standby, the commit time of the last transaction replayed before the snapshot.
    #[schemars(with = "Option<String>")]
    pub replayed_to: Option<Timestamp>,
    /// `UTF8`.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The ICU or built-in locale, where the provider has one.
    pub locale: Option<String>,
    /// The version of the collation that the database recorded.
    pub collation_version: Option<String>,
}

/// A program that wrote or read part of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// `pg_dump`.
    pub name: String,
    /// Its version as it reports it.
    pub version: String,
    /// Its arguments, without any secret.
    pub arguments: Vec<String>,
}

/// A table that can hold rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The schema.
    pub schema: String,
    /// The table within it.
    pub name: String,
    /// What kind of table it is.
    pub kind: TableKind,
    /// Whether its rows are in the set.
    pub data: TableData,
    /// The columns of its COPY text, in order. Generated columns are not copied.
    pub columns: Vec<String>,
    /// How many rows SQL counted in the snapshot (with an extension's filter: of those the filter
    /// admits). Absent when the rows are not in the set.
    pub rows: Option<u64>,
    /// The content hash, 64 hexadecimal digits. Absent when the rows are not in the set.
    pub hash: Option<String>,
    /// The objects that hold its rows, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// The kind of a table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// A leaf of a partition tree. Partitioned tables themselves hold no rows.
    Partition,
    /// An unlogged table.
    Unlogged,
    /// A foreign table, or a partition that is one.
    Foreign,
}

/// Whether a table's rows are in the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableData {
    /// All rows.
    All,
    /// The rows an extension marked as configuration: `pg_extension_config_dump`. The filter is
    /// SQL (`WHERE ...`), empty for all rows.
    ExtensionConfig {
        /// The extension.
        extension: String,
        /// Its filter.
        filter: String,
    },
    /// None; an exclusion says why.
    None,
}

/// One object that holds rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The path of its entry in `files`.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// The content hash of its rows.
    pub hash: String,
    /// Bytes of COPY text before compression.
    pub copy_bytes: u64,
    /// The blocks of the table it holds; absent when it holds all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// A range of a table's blocks, as `ctid` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// The first block.
    pub from: u32,
    /// The block after the last; absent when the range has no end.
    pub to: Option<u32>,
}

/// Where a sequence stands. Positions are not transactional: a copy must stand at least here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The schema.
    pub schema: String,
    /// The sequence within it.
    pub name: String,
    /// `last_value`, as text.
    #[serde(with = "text_number")]
    #[schemars(with = "String")]
    pub last_value: i64,
    /// The next value is one step after `last_value`; else it is `last_value` itself.
    pub is_called: bool,
    /// The step, as text; negative when it counts down.
    #[serde(with = "text_number")]
    #[schemars(with = "String")]
    pub increment: i64,
    /// It starts again at its end.
    pub cycle: bool,
    /// The column that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_by: Option<OwningColumn>,
}

/// The column that a sequence fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwningColumn {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The value in it that is furthest along the sequence, as text; absent when there is none.
    #[serde(with = "text_number::optional")]
    #[schemars(with = "Option<String>")]
    pub furthest: Option<i64>,
}

/// All large objects together; each one is also an entry of `objects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// The row hash over one row `<oid> TAB <sha256 of the content>` for each. Absent when the
    /// contents were not read.
    pub hash: Option<String>,
}

/// Something the set, or its proof, does not cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// What kind of thing it is; `table_content` for a table's rows.
    pub category: Category,
    /// Which one.
    pub object: String,
    /// Why, in words.
    pub reason: String,
}

/// One object of the set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Relative to the set's folder.
    pub path: String,
    /// What it holds.
    pub kind: FileKind,
    /// Its size as stored.
    pub bytes: u64,
    /// SHA-256 of its bytes as stored, lower-case hex.
    pub sha256: String,
    /// What it is without its encryption; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Plain>,
}

/// An object before it was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
}

/// What an object of the set holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Definitions, by `pg_dump` in custom format.
    Schema,
    /// COPY text of a table or of a part of it, compressed.
    Data,
    /// Large objects, by `pg_dump` in custom format.
    Blobs,
    /// Roles and tablespaces, by `pg_dumpall`.
    Globals,
    /// How to restore by hand.
    Instructions,
    /// A whole dump by `pg_dump`, in its format `custom`, `directory` or `plain`.
    Dump,
}

impl Format {
    /// Whether rows are objects of their own.
    pub fn is_objects(&self) -> bool {
        *self == Self::Objects
    }
}

impl fmt::Display for Format {
    /// As a runbook writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Objects => "objects",
            Self::Custom => "custom",
            Self::Directory => "directory",
            Self::Plain => "plain",
        })
    }
}

impl fmt::Display for Encryption {
    /// ``age `age1...` ``, with every recipient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, recipients) = match self {
            Self::Age(recipients) => ("age", recipients),
            Self::Gpg(recipients) => ("gpg", recipients),
        };
        write!(f, "{program} `{}`", recipients.join("`, `"))
    }
}

impl File {
    /// Its path without what encryption added.
    pub fn plain_path(&self) -> &str {
        match (&self.plain, self.path.rsplit_once('.')) {
            (Some(_), Some((path, "age" | "gpg"))) => path,
            _ => &self.path,
        }
    }
}

impl TableName {
    /// The name in its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    /// Quoted as SQL quotes it, where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

impl fmt::Display for Exclusion {
    /// ``table content `public.log`: the plan leaves it out``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.category, self.object, self.reason)
    }
}

impl Table {
    /// Its name in two parts.
    pub fn table_name(&self) -> TableName {
        TableName::new(&self.schema, &self.name)
    }
}

impl Sequence {
    /// Its name in two parts.
    pub fn sequence_name(&self) -> TableName {
        TableName::new(&self.schema, &self.name)
    }
}

impl Contents {
    /// Leaves out what only a database with rows has: large objects, positions of sequences, the
    /// contents of materialized views. What [`Scope::Definitions`] covers remains.
    pub fn keep_definitions(&mut self) {
        let large: BTreeSet<String> = self
            .objects
            .iter()
            .filter(|object| object.category == Category::LargeObject)
            .map(|object| object.identity.clone())
            .collect();
        self.objects.retain(|object| {
            !large.contains(&object.identity)
                && object.belongs_to.as_ref().is_none_or(|owner| !large.contains(owner))
        });
        let views = self.objects.iter_mut().filter(|it| it.category == Category::MaterializedView);
        for view in views {
            view.attributes.insert("populated".to_owned(), "false".to_owned());
        }
        self.sequences.clear();
        self.large_objects.count = 0;
    }

    /// Puts every list into the order of the format.
    pub fn sort(&mut self) {
        if let Scope::Tables(tables) = &mut self.scope {
            tables.sort();
        }
        self.tables.sort_by_cached_key(Table::table_name);
        self.sequences.sort_by_cached_key(Sequence::sequence_name);
        self.objects.sort();
        self.exclusions.sort();
    }

    /// Puts the columns of each table into the order that `manifest` has them in. A restore may
    /// order the columns of an inheriting table differently; its rows must be hashed in the
    /// manifest's order all the same.
    pub fn order_columns_like(&mut self, manifest: &Self) {
        let known: BTreeMap<TableName, &Table> =
            manifest.tables.iter().map(|table| (table.table_name(), table)).collect();
        for table in &mut self.tables {
            let Some(like) = known.get(&table.table_name()) else { continue };
            let place = |column: &String| like.columns.iter().position(|other| other == column);
            table.columns.sort_by_key(|column| place(column).unwrap_or(usize::MAX));
        }
    }
}

/// Why the bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of this form.
    #[error("not a manifest of version {VERSION}: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by another program, most likely a newer one.
    #[error("a manifest of version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// A hash algorithm that this program does not know.
    #[error("content hashes by `{0}`, this program knows `{known}`", known = super::row_hash::ALGORITHM)]
    Algorithm(String),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Manifest {
    /// Reads `manifest.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.row_hash != super::row_hash::ALGORITHM {
            return Err(ManifestError::Algorithm(manifest.row_hash));
        }
        Ok(manifest)
    }

    /// The bytes of `manifest.json`, lists in the order of the format.
    pub fn to_json(&self) -> Vec<u8> {
        let mut sorted = self.clone();
        sorted.contents.sort();
        sorted.files.sort();
        let mut bytes = serde_json::to_vec_pretty(&sorted).expect("a manifest has text keys only");
        bytes.push(b'\n');
        bytes
    }
}

/// `name` quoted as an SQL identifier where it is not a plain lower-case word. Reserved words are
/// not known here: for people to read, not to build SQL from.
fn quote_identifier(name: &str) -> String {
    let starts_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if starts_plain && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
