//! What `pg.pitr` is told.

use std::collections::BTreeMap;

use model::catalog::InputProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::file::local::path_problem;

/// The longest path in which a socket fits: 107 bytes less `/.s.PGSQL.65535`.
const LONGEST: usize = 91;

/// Recovers a whole cluster to a moment, as a new instance beside what there is.
///
/// ## What it does
/// It picks the newest base backup that had ended before the moment, and checks **before it begins**
/// that the archive leads from there to the moment: a moment later than the last archived commit,
/// and a missing segment, are told apart and refused. Then it unpacks the base backup into
/// `data_directory`, starts a server there that takes WAL from the archive by
/// `runbook archive fetch`, waits until it has stopped at the moment, and asks it the queries of
/// `inspect`.
///
/// The instance listens on a socket in its own data folder and on 127.0.0.1 only. It archives
/// nothing, loads no libraries, and runs no subscriptions, unless `settings` says otherwise.
///
/// `action` says what is done: `pause` recovers and leaves the instance at the moment, read-only;
/// `promote` recovers and opens it; `resume` opens one that is paused, on a new timeline; `discard`
/// stops one and removes it.
///
/// ## When to use it
/// When somebody changed or deleted what they should not have: recover to just before it, look, and
/// bring over what is missing with `pg.restore_table` or `pg.restore_rows` from a set of the
/// instance. When the server is gone: recover to `latest` and open the instance.
///
/// ## What it changes
/// A data folder is made, and a server runs in it until it is discarded. Nothing that was there
/// before is touched: the folder must not exist or be empty.
///
/// ## How it can fail
/// When no base backup had ended before the moment; when the archive does not lead there; when the
/// folder is not empty or the disk too small; when the account of the server cannot read the
/// archive; when the server stops. What was unpacked stays, so that another attempt goes on from it.
///
/// ## Example
/// ```yaml
/// - id: recover
///   uses: pg.pitr
///   with:
///     store: backups
///     target: {time: "2026-11-20T01:59:59Z"}
///     data_directory: /var/lib/postgresql/pitr
///     inspect: ["select count(*) from public.orders"]
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is done.
    #[serde(default)]
    pub(super) action: Action,
    /// The folder of the instance: an absolute path. To recover, it must not exist or be empty.
    pub(super) data_directory: String,
    /// The store of the base backups: a name under `stores:`. Needed to recover.
    pub(super) store: Option<String>,
    /// The store of the archive; without it, the same.
    pub(super) archive: Option<String>,
    /// The moment: `latest`, a time with a zone, a position, a transaction or a restore point.
    /// Needed to recover.
    pub(super) target: Option<Target>,
    /// The base backup: its id, or `latest` for the newest that had ended before the moment.
    #[serde(default = "latest")]
    pub(super) base: String,
    /// The cluster's system identifier; needed when the store has base backups of several.
    pub(super) cluster: Option<String>,
    /// The timeline to follow; without it, the newest that leads on from the base backup.
    pub(super) timeline: Option<u32>,
    /// What was committed at the very moment is in.
    #[serde(default = "crate::defaults::yes")]
    pub(super) inclusive: bool,
    /// The port, for the socket and 127.0.0.1.
    #[serde(default = "port")]
    pub(super) port: u16,
    /// The account that runs the server when this program runs as root.
    #[serde(default = "postgres")]
    pub(super) run_as: String,
    /// The role that asks; a superuser of the cluster.
    #[serde(default = "postgres")]
    pub(super) user: String,
    /// The database that is asked.
    #[serde(default = "postgres")]
    pub(super) database: String,
    /// Queries that are asked at the moment; their rows are an output. One that fails is told, too.
    #[serde(default)]
    pub(super) inspect: Vec<String>,
    /// Settings of the server besides; they go before those that the step chooses.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    /// `discard` removes the instance although it was opened.
    #[serde(default)]
    pub(super) force: bool,
    /// The path of the `runbook` that the server calls; without it, the one that runs.
    pub(super) program: Option<String>,
    /// The folder of the server programs of that version; found by itself where packages put it.
    pub(super) bin: Option<String>,
}

/// What `pg.pitr` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Recover to the moment and stay there.
    #[default]
    Pause,
    /// Recover to the moment and open the instance.
    Promote,
    /// Open an instance that stays at its moment.
    Resume,
    /// Stop an instance and remove it.
    Discard,
}

impl Action {
    /// An instance is made.
    pub(super) fn recovers(self) -> bool {
        matches!(self, Self::Pause | Self::Promote)
    }
}

fn latest() -> String {
    "latest".to_owned()
}

fn port() -> u16 {
    5499
}

fn postgres() -> String {
    "postgres".to_owned()
}

fn is_setting(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

impl Input {
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<InputProblem> = self.path_problems();
        if self.action.recovers() {
            if self.store.is_none() {
                problems.push(InputProblem::at("store", "where the base backups are is not said"));
            }
            if self.target.is_none() {
                let problem = InputProblem::at("target", "to which moment is not said");
                problems.push(problem.help("`latest`, or a time with a zone"));
            }
        } else if !self.inspect.is_empty() {
            let message = "queries are asked when the instance has reached its moment";
            problems.push(InputProblem::at("inspect", message));
        }
        if self.force && self.action != Action::Discard {
            problems.push(InputProblem::at("force", "it belongs to `action: discard`"));
        }
        if self.base != "latest"
            && let Err(error) = self.base.parse::<model::set::SetId>()
        {
            problems.push(InputProblem::at("base", error.to_string()));
        }
        if self.cluster.as_ref().is_some_and(|it| it.parse::<u64>().is_err()) {
            problems.push(InputProblem::at("cluster", "a system identifier is a number"));
        }
        for name in self.settings.keys().filter(|name| !is_setting(name)) {
            problems.push(InputProblem {
                path: vec!["settings".to_owned(), name.clone()],
                message: format!("`{name}` is not the name of a setting"),
                help: None,
            });
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn path_problems(&self) -> Vec<InputProblem> {
        let directory = &self.data_directory;
        let mut problems: Vec<_> = path_problem("data_directory", directory).into_iter().collect();
        problems.extend(self.program.as_ref().and_then(|path| path_problem("program", path)));
        problems.extend(self.bin.as_ref().and_then(|path| path_problem("bin", path)));
        let message = if directory.len() > LONGEST {
            Some(format!("the path is too long for a socket in it: {LONGEST} bytes at most"))
        } else if directory.chars().any(|c| c.is_control() || "'\"\\%".contains(c)) {
            Some("the path has a quote, a `\\`, a `%` or a line end".to_owned())
        } else if directory.trim_end_matches('/').rsplit('/').any(|part| part == "..") {
            Some("the path has a `..`".to_owned())
        } else {
            None
        };
        problems.extend(message.map(|message| InputProblem::at("data_directory", message)));
        problems
    }
}
