//! The instance that is made: its folder, the mark by which it is known again, its server.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::context::StepContext;
use engine::environment::{self, Account};
use engine::files;
use engine::process::{ChildRecord, Program};
use engine::settings::ConnectionSettings;
use model::step_error::StepError;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::Input;
use crate::pg::connection::{Session, connect_with};
use crate::pg::{programs, server_programs};

/// The file in the data folder that says who made it.
const MARK: &str = "runbook_pitr.json";
/// The server's log.
const LOG: &str = "runbook_pitr.log";
/// The newest part of the log that is looked at, in bytes.
const LOOKED_AT: u64 = 1 << 20;

/// How far an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// It is being unpacked.
    Filling,
    /// It is whole, and its server may have been started.
    Ready,
}

/// Who made an instance, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) version: u32,
    pub(super) run: String,
    pub(super) step: String,
    pub(super) stage: Stage,
    pub(super) system_identifier: String,
    pub(super) server_major: u32,
    pub(super) base: String,
    pub(super) target: String,
    /// The timeline that is followed.
    pub(super) timeline: u32,
    pub(super) port: u16,
    /// The last archived commit, as far as it was looked for.
    pub(super) last_commit: Option<String>,
}

/// A folder for an instance, and the account that its server runs as.
pub(super) struct Instance {
    pub(super) folder: PathBuf,
    /// Absent when this program's own account runs the server.
    pub(super) account: Option<Account>,
    user: String,
    database: String,
    bin: Option<String>,
}

/// The folder is not one in which an instance may be made, or is none.
pub(super) fn refused(folder: &Path, why: &str, hint: &str) -> StepError {
    let message = format!("`{}` cannot be the folder of the instance: {why}", folder.display());
    StepError::needs_operator("RB0627", message).hint(hint)
}

impl Instance {
    /// Nothing is done yet.
    pub(super) fn of(input: &Input) -> Result<Self, StepError> {
        let account = if environment::is_root() {
            let found = environment::account_named(&input.run_as);
            Some(found.ok_or_else(|| {
                let message = format!("this machine has no account `{}`", input.run_as);
                StepError::needs_operator("RB0636", message)
                    .hint("PostgreSQL refuses to run as root: name an account as `run_as`")
            })?)
        } else {
            None
        };
        Ok(Self {
            folder: PathBuf::from(&input.data_directory),
            account,
            user: input.user.clone(),
            database: input.database.clone(),
            bin: input.bin.clone(),
        })
    }

    /// A file of the instance.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder beside it in which a chain of backups is put together.
    pub(super) fn parts(&self) -> PathBuf {
        let mut name = self.folder.file_name().unwrap_or_default().to_owned();
        name.push(".parts");
        self.folder.with_file_name(name)
    }

    fn uid(&self) -> u32 {
        self.account.as_ref().map_or_else(environment::effective_uid, |account| account.uid)
    }

    /// Makes a folder of the server's account.
    pub(super) fn make(&self, folder: &Path) -> Result<(), StepError> {
        let made = files::create_folder(folder).and_then(|()| files::close_folder(folder));
        made.and_then(|()| self.hand_over(folder)).map_err(|error| {
            refused(
                folder,
                &error.to_string(),
                "make the folder above it, and let this account write there",
            )
        })
    }

    fn hand_over(&self, path: &Path) -> std::io::Result<()> {
        match &self.account {
            Some(account) => files::hand_over(path, account.uid, account.gid),
            None => Ok(()),
        }
    }

    /// Refuses a folder that holds anything but a former attempt of this very step.
    pub(super) fn check_free(&self, ctx: &StepContext) -> Result<(), StepError> {
        let name = "name a folder that does not exist or is empty";
        let above = self
            .folder
            .parent()
            .is_some_and(|parent| files::facts(parent).is_ok_and(|facts| facts.is_dir()));
        if !above {
            return Err(refused(
                &self.folder,
                "the folder above it does not exist",
                "make that one",
            ));
        }
        let Ok(facts) = files::facts(&self.folder) else { return Ok(()) };
        if !facts.is_dir() {
            return Err(refused(&self.folder, "it is no folder", name));
        }
        let names = files::list(&self.folder)
            .map_err(|error| refused(&self.folder, &error.to_string(), name))?;
        if names.is_empty() && facts.uid() != self.uid() {
            let why = format!("it belongs to account number {}, not {}", facts.uid(), self.uid());
            return Err(refused(&self.folder, &why, "hand it over with `chown`, or remove it"));
        }
        match self.mark() {
            _ if names.is_empty() => Ok(()),
            Some(mark) if mark.is_of(ctx) => Ok(()),
            Some(mark) => {
                let why = format!("it holds the instance of run {}", mark.run);
                let hint =
                    "remove that one with `pg.pitr` and `action: discard`, or name another folder";
                Err(refused(&self.folder, &why, hint))
            }
            None => Err(refused(&self.folder, "it is not empty", name)),
        }
    }

    /// Who made the instance, when this program did.
    pub(super) fn mark(&self) -> Option<Mark> {
        let text = files::read(&self.file(MARK)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Says who makes it, durably.
    pub(super) fn write_mark(&self, mark: &Mark) -> Result<(), StepError> {
        let text = serde_json::to_vec_pretty(mark).expect("a mark has text keys only");
        self.write(MARK, &text)
    }

    /// Writes a file of the instance, durably.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<(), StepError> {
        let path = self.file(name);
        let written = files::write_durably(&path, text).and_then(|()| self.hand_over(&path));
        written.map_err(|error| refused(&path, &error.to_string(), "see the disk and its owner"))
    }

    /// One of PostgreSQL's programs, as the server's account.
    pub(super) async fn program(
        &self,
        ctx: &StepContext,
        name: &str,
        major: u32,
    ) -> Result<Program, StepError> {
        let (path, _) = server_programs::find(ctx, self.bin.as_deref(), name, major).await?;
        Ok(Program::new(&path).run_as(self.account.as_ref()).env("LC_ALL", "C"))
    }

    /// The server's process, when it lives.
    pub(super) fn server(&self) -> Option<ChildRecord> {
        let text = files::read_text(&self.file("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)?;
        ChildRecord::of("postgres", pid)
    }

    /// Starts the server with a file of settings, and does not wait for it.
    pub(super) async fn start(
        &self,
        ctx: &StepContext,
        major: u32,
        config: &str,
    ) -> Result<(), StepError> {
        // What an earlier start has said says nothing of this one.
        files::remove(&self.file(LOG)).map_err(|error| {
            refused(&self.folder, &error.to_string(), "see the disk and its owner")
        })?;
        let options = format!("-c config_file='{}'", self.file(config).display());
        let pg_ctl = self.program(ctx, "pg_ctl", major).await?;
        let pg_ctl = pg_ctl
            .args(["start", "--no-wait", "--silent", "--pgdata"])
            .arg(&self.folder)
            .arg("--log")
            .arg(self.file(LOG))
            .args(["--options", &options]);
        programs::run_program(ctx, pg_ctl.leaves_server()).await
    }

    /// Stops the server at once, if it runs.
    pub(super) async fn stop(&self, ctx: &StepContext, major: u32) -> Result<(), StepError> {
        if self.server().is_none() {
            return Ok(());
        }
        let pg_ctl = self.program(ctx, "pg_ctl", major).await?;
        let pg_ctl = pg_ctl.args(["stop", "--mode=immediate", "--silent", "--pgdata"]);
        programs::run_program(ctx, pg_ctl.arg(&self.folder)).await
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> Result<(), StepError> {
        let removed =
            files::remove_folder(&self.parts()).and_then(|()| files::remove_folder(&self.folder));
        removed.map_err(|error| {
            let message = format!("`{}` cannot be removed", self.folder.display());
            StepError::needs_operator("RB0627", message).caused_by(&error).hint("remove it by hand")
        })
    }

    /// Connects through the socket in its folder.
    pub(super) async fn connect(&self, ctx: &StepContext, port: u16) -> Result<Session, StepError> {
        let settings = ConnectionSettings {
            name: "the recovered instance".to_owned(),
            host: Some(self.folder.display().to_string()),
            port: Some(port.to_string()),
            dbname: Some(self.database.clone()),
            user: Some(self.user.clone()),
            ..ConnectionSettings::default()
        };
        connect_with(ctx, &settings).await
    }

    /// The newest lines of the server's log.
    pub(super) fn log_lines(&self) -> Vec<String> {
        let bytes = files::tail(&self.file(LOG), LOOKED_AT).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Mark {
    /// Made by this very step of this run.
    pub(super) fn is_of(&self, ctx: &StepContext) -> bool {
        self.run == ctx.id().run.to_string() && self.step == ctx.id().step.to_string()
    }
}
