//! What `pg.verify_backup` is asked for.

use model::catalog::InputProblem;
use model::proof::Level;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::pg::assert::Expect;
use crate::pg::jobs;
use crate::store::Backup;

/// Proves a backup set by restoring and comparing it.
///
/// ## What it does
/// Proves a backup set. Every object is compared with the SHA-256 in the manifest;
/// the set is restored into a scratch database; definitions, row counts, sequences, constraints,
/// and from level `identical` on the content of every table and large object are compared with
/// the manifest; at level `usable` assertions are asked and every index is checked. The verdict is
/// written beside the set as a proof; only proven sets count for retention and for `latest`.
///
/// ## When to use it
/// After every `pg.dump`, and now and then on an old set.
///
/// ## What it changes
/// Adds a proof to the set. On the scratch server it makes a database
/// `rb_verify_...` and drops it again; what a killed run leaves there is dropped by the next one
/// when its lease of a day has ended.
///
/// ## How it can fail
/// The set differs from its manifest (every difference is named; the proof is
/// written all the same and says so); the scratch server cannot be reached, lacks a role, an
/// extension or space.
///
/// ## Example
/// ```yaml
/// - id: verify
///   uses: pg.verify_backup
///   with: {store: backups, database: lms, scratch: scratch, level: identical}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The store that holds the set.
    pub store: String,
    /// The database the set was made of.
    pub database: String,
    /// A set id, `latest` (the newest set of the whole database, proven or not), or
    /// `{before: <time>}`.
    #[serde(default)]
    pub backup: Backup,
    /// A connection that is not protected; the role must be allowed to create databases. Needed
    /// from level `restorable` on.
    #[serde(default)]
    pub scratch: Option<String>,
    /// How far to go: `stored`, `readable`, `restorable`, `complete`, `identical`, `usable`.
    #[serde(default = "default_level")]
    pub level: Level,
    /// Connections that copy, build and compare at once. Default: one for each processor.
    #[serde(default)]
    pub jobs: Option<u16>,
    /// Questions that the copy must answer at level `usable`, each in a `READ ONLY` transaction.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
    /// Checks every table and B-tree index of the copy at level `usable`, where the server has
    /// the extension `amcheck`.
    #[serde(default = "crate::defaults::yes")]
    pub amcheck: bool,
}

/// A question and what must hold of its answer, as in `pg.assert`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// One SQL statement that reads.
    pub query: String,
    /// Values for `$1`, `$2` ...
    #[serde(default)]
    pub params: Vec<Value>,
    /// What must hold.
    pub(super) expect: Expect,
    /// What it means that it holds, for the verdict.
    #[serde(default)]
    pub message: Option<String>,
}

fn default_level() -> Level {
    Level::Identical
}

impl Input {
    /// Rules that the types do not express.
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems = jobs::problems(self.jobs);
        if self.level >= Level::Restorable && self.scratch.is_none() {
            let problem =
                InputProblem::at("scratch", "this level restores the set, and needs `scratch`");
            problems.push(problem.help("name a connection that says `protected: false`"));
        }
        if !self.assertions.is_empty() && self.level < Level::Usable {
            let problem = InputProblem::at("assertions", "assertions are asked at level `usable`");
            problems.push(problem.help("write `level: usable`"));
        }
        for (index, assertion) in self.assertions.iter().enumerate() {
            if assertion.expect.is_empty() {
                let path = ["assertions".to_owned(), index.to_string(), "expect".to_owned()];
                let help = "say what must hold, such as `{min: 1}`".to_owned();
                let message = "nothing is expected".to_owned();
                problems.push(InputProblem { path: path.to_vec(), message, help: Some(help) });
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
