//! A server whose data directory lies on this machine: its programs, its account, its start.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::context::StepContext;
use engine::environment::{self, Account};
use engine::files;
use engine::process::Program;
use model::catalog::InputProblem;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::conninfo::beside;
use crate::file::local::path_problem;
use crate::pg::{programs, server_programs};

/// `pg_ctl status` of a server that does not run.
/// <https://www.postgresql.org/docs/current/app-pg-ctl.html>
const NOT_RUNNING: i32 = 3;

/// Lines of the server's log that an error shows.
const SHOWN_LINES: usize = 6;

/// Bytes of the server's log in which they are looked for.
const SHOWN_BYTES: u64 = 4096;

/// A server of this machine. An empty text is as if absent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// Its data directory, an absolute path.
    pub(super) data_directory: String,
    /// The account that runs it, when root runs `runbook`. Without it, the owner of the data
    /// directory, or of the folder it lies in.
    pub(super) run_as: Option<String>,
    /// The folder of the server's programs. Without it, where packages put those of the version.
    pub(super) bin: Option<String>,
    /// The file `postgresql.conf`, when it does not lie in the data directory (Debian).
    pub(super) config_file: Option<String>,
    /// Settings of its own, in `postgresql.auto.conf`: `{port: "5433"}`.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    /// What starts it: `[systemctl, start, postgresql@15-main]`. Without it, `pg_ctl start`.
    #[serde(default)]
    pub(super) start: Vec<String>,
    /// The file that `pg_ctl start` lets it write its log to. Without it, `<data_directory>.log`.
    pub(super) log: Option<String>,
}

impl Server {
    pub(super) fn data(&self) -> &Path {
        Path::new(&self.data_directory)
    }

    pub(super) fn problems(&self) -> Vec<InputProblem> {
        let inside = |problem: InputProblem| {
            let path = std::iter::once("server".to_owned()).chain(problem.path).collect();
            InputProblem { path, ..problem }
        };
        let paths = [
            ("data_directory", Some(&self.data_directory)),
            ("bin", self.bin.as_ref()),
            ("config_file", self.config_file.as_ref()),
            ("log", self.log.as_ref()),
        ];
        let given = paths.into_iter().filter_map(|(key, path)| Some((key, path?)));
        let wrong = given.filter(|(key, path)| !path.is_empty() || *key == "data_directory");
        wrong.filter_map(|(key, path)| path_problem(key, path)).map(inside).collect()
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// A server of this machine whose version and account are known.
pub(super) struct Local<'a> {
    pub(super) ctx: &'a StepContext,
    pub(super) server: &'a Server,
    pub(super) account: Option<Account>,
    major: u32,
}

impl<'a> Local<'a> {
    pub(super) fn new(
        ctx: &'a StepContext,
        server: &'a Server,
        major: u32,
    ) -> Result<Self, StepError> {
        Ok(Self { ctx, server, account: account(server)?, major })
    }

    pub(super) fn data(&self) -> &Path {
        self.server.data()
    }

    fn log(&self) -> PathBuf {
        given(self.server.log.as_ref()).map_or_else(|| beside(self.data(), "log"), PathBuf::from)
    }

    /// The settings that name a configuration outside the data directory.
    pub(super) fn config_file(&self) -> Option<&str> {
        given(self.server.config_file.as_ref())
    }

    /// One of the server's programs, as the account of this process.
    pub(super) async fn own_program(&self, name: &str) -> Result<Program, StepError> {
        let bin = given(self.server.bin.as_ref());
        let (path, _) = server_programs::find(self.ctx, bin, name, self.major).await?;
        Ok(Program::new(&path).env("LC_ALL", "C"))
    }

    /// One of the server's programs, as its account.
    pub(super) async fn program(&self, name: &str) -> Result<Program, StepError> {
        Ok(self.own_program(name).await?.run_as(self.account.as_ref()))
    }

    /// What a program prints; nothing is left to tell when it fails.
    pub(super) async fn output(&self, name: &str, args: &[&str]) -> Result<String, StepError> {
        let program = self.program(name).await?.args(args.iter().copied()).with_stdout();
        let mut child = program.start(self.ctx).await?;
        let mut stdout = child.stdout().expect("the output was asked for");
        let mut printed = Vec::new();
        let (exit, read) = tokio::join!(child.wait(), stdout.read_to_end(&mut printed));
        programs::succeeded(&exit?)?;
        read.map_err(|error| {
            StepError::transient("RB0517", format!("the output of `{name}` broke off"))
                .caused_by(&error)
        })?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Whether a server runs on the data directory.
    pub(super) async fn is_running(&self) -> Result<bool, StepError> {
        let data = format!("--pgdata={}", self.server.data_directory);
        let program = self.program("pg_ctl").await?.args(["status", &data]);
        let exit = program.start(self.ctx).await?.wait().await?;
        if exit.status.code() == Some(NOT_RUNNING) {
            return Ok(false);
        }
        programs::succeeded(&exit).map(|()| true)
    }

    /// Refuses files that the server's account could not replace: a rewind would break off at them.
    pub(super) fn check_owner(&self) -> Result<(), StepError> {
        let Some(account) = &self.account else { return Ok(()) };
        let names = files::list(self.data()).unwrap_or_default();
        let foreign = |name: &&String| {
            let facts = files::facts(&self.data().join(name));
            facts.is_ok_and(|facts| facts.uid() != account.uid)
        };
        let Some(name) = names.iter().find(foreign) else { return Ok(()) };
        let path = self.data().join(name);
        let message = format!("`{}` does not belong to the server's account", path.display());
        Err(StepError::needs_operator("RB0559", message)
            .hint("nothing was changed: give it to the account that runs the server"))
    }

    /// Starts it and waits until it takes connections. What it starts outlives the run.
    pub(super) async fn start(&self, within: Duration) -> Result<(), StepError> {
        let program = match self.server.start.split_first() {
            Some((name, rest)) => Program::new(name).args(rest),
            None => self.pg_ctl_start(within).await?,
        };
        let exit = program.leaves_server().start(self.ctx).await?.wait().await?;
        if exit.status.success() {
            return Ok(());
        }
        let message = format!("the server of `{}` does not start", self.server.data_directory);
        let error = StepError::needs_operator("RB0566", message).hint(
            "see its log; a server whose configuration lies elsewhere needs `config_file`, one \
             beside another needs a `port` in `settings`",
        );
        Err(self.with_log(error))
    }

    async fn pg_ctl_start(&self, within: Duration) -> Result<Program, StepError> {
        let seconds = within.as_secs().max(1).to_string();
        let data = format!("--pgdata={}", self.server.data_directory);
        let log = format!("--log={}", self.log().display());
        let program = self.program("pg_ctl").await?;
        let program = program.args(["start", &data, &log, "--wait", "--silent", "--timeout"]);
        let program = program.arg(seconds);
        Ok(match self.config_file() {
            Some(path) => program.arg(format!("--options=-c config_file={}", shell_quoted(path))),
            None => program,
        })
    }

    /// Adds the newest lines of the server's log.
    pub(super) fn with_log(&self, mut error: StepError) -> StepError {
        let tail = files::tail(&self.log(), SHOWN_BYTES).unwrap_or_default();
        let tail = String::from_utf8_lossy(&tail).into_owned();
        let lines: Vec<_> = tail.lines().collect();
        let newest = lines[lines.len().saturating_sub(SHOWN_LINES)..].iter();
        error.causes.extend(newest.map(|line| (*line).to_owned()));
        error
    }
}

/// `pg_ctl` hands the options to a shell.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The account that runs the server: PostgreSQL refuses to run as root.
fn account(server: &Server) -> Result<Option<Account>, StepError> {
    let refused = |message: String| {
        Err(StepError::needs_operator("RB0559", message)
            .hint("name the account that owns the server's files as `run_as`, such as `postgres`"))
    };
    let named = given(server.run_as.as_ref());
    if !environment::is_root() {
        let own = named.and_then(environment::account_named).map(|account| account.uid);
        return match named {
            Some(name) if own != Some(environment::effective_uid()) => {
                refused(format!("the server is to run as `{name}`, which only root can see to"))
            }
            _ => Ok(None),
        };
    }
    let account = match named {
        Some(name) => environment::account_named(name),
        None => owner(server.data()),
    };
    match account {
        Some(account) if account.uid != 0 => Ok(Some(account)),
        Some(_) => refused("PostgreSQL does not run as root".to_owned()),
        None => refused(format!(
            "nobody can tell which account runs the server of `{}`",
            server.data_directory
        )),
    }
}

/// The owner of a folder, or of the one it lies in.
fn owner(data: &Path) -> Option<Account> {
    let facts = files::facts(data).ok().or_else(|| files::facts(data.parent()?).ok())?;
    Some(Account { name: String::new(), uid: facts.uid(), gid: facts.gid() })
}
