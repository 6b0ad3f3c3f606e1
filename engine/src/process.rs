//! Child processes: argv only, a cleared environment, an own process group, and a mark in the
//! journal by which a resume finds an orphan.
#![expect(clippy::disallowed_methods, reason = "this is the home of child processes")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use model::step_error::StepError;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child as TokioChild, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::context::StepContext;
use crate::environment::Account;

/// Set in every child's environment to `run/step/attempt`: an orphan is found by it even when
/// the journal died between the start and the record.
pub const CHILD_MARK: &str = "RUNBOOK_CHILD";

/// Variables that a child inherits; everything else is cleared.
const INHERITED: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "XDG_RUNTIME_DIR",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
];

/// Between the polite and the final signal.
const GRACE: Duration = Duration::from_secs(10);

/// The newest part of standard error kept for the error message, in bytes.
const KEPT_ERROR: usize = 4096;

/// A started child as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildRecord {
    /// The program's name.
    pub program: String,
    /// Process id, also the id of its group.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks since boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// A program to start.
pub struct Program {
    name: String,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    folder: Option<PathBuf>,
    stdin: bool,
    stdout: bool,
    account: Option<Account>,
    leaves_server: bool,
}

/// A child that runs.
pub struct Child {
    program: String,
    pid: Pid,
    inner: TokioChild,
    stderr: JoinHandle<Vec<u8>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    ctx: StepContext,
}

/// How a child ended.
#[derive(Debug)]
pub struct Exit {
    /// The program's name.
    pub program: String,
    /// Its status.
    pub status: ExitStatus,
    /// The newest part of its standard error, not redacted.
    pub stderr: String,
}

impl Program {
    /// A program found on `PATH`, or by its path.
    pub fn new(program: &str) -> Self {
        let (args, env) = (Vec::new(), Vec::new());
        Self {
            name: program.to_owned(),
            args,
            env,
            folder: None,
            stdin: false,
            stdout: false,
            account: None,
            leaves_server: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The folder it starts in.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Standard input comes from [`Child::stdin`]; otherwise it is empty.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    /// Standard output goes to [`Child::stdout`]; otherwise to the step's log.
    #[must_use]
    pub fn with_stdout(mut self) -> Self {
        self.stdout = true;
        self
    }

    /// Runs as another account, which takes root; in `/`, for that account may not look into the
    /// folder of this process.
    #[must_use]
    pub fn run_as(mut self, account: Option<&Account>) -> Self {
        self.account = account.cloned();
        self
    }

    /// It starts a server that is to outlive the run: what it starts is no orphan, and the step
    /// that starts it knows it by a mark of its own.
    #[must_use]
    pub fn leaves_server(mut self) -> Self {
        self.leaves_server = true;
        self
    }

    /// Starts it and journals the child.
    pub async fn start(self, ctx: &StepContext) -> Result<Child, StepError> {
        let mut inner = self.command(ctx).spawn().map_err(|error| self.not_started(&error))?;
        let pid = inner.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.expect("a child that was not waited for has a pid");
        if let Some(record) = ChildRecord::of(&self.name, pid) {
            ctx.record("child", record).await?;
        }
        let stderr = inner.stderr.take().expect("standard error is piped");
        let stderr = tokio::spawn(to_log(stderr, ctx.clone()));
        let stdout = if self.stdout { None } else { inner.stdout.take() };
        let stdout = stdout.map(|stdout| tokio::spawn(to_log(stdout, ctx.clone())));
        Ok(Child { program: self.name, pid, inner, stderr, stdout, ctx: ctx.clone() })
    }

    fn command(&self, ctx: &StepContext) -> Command {
        let id = ctx.id();
        let mut command = Command::new(&self.name);
        command.args(&self.args).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if !self.leaves_server {
            command.env(CHILD_MARK, format!("{}/{}/{}", id.run, id.step, id.attempt));
        }
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid).current_dir("/");
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(if self.stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn not_started(&self, error: &std::io::Error) -> StepError {
        let message = format!("`{}` could not be started", self.name);
        StepError::permanent("RB0410", message)
            .caused_by(error)
            .hint(format!("install `{}` or put it on `PATH`", self.name))
    }
}

/// Copies output to the step's log and keeps the newest part of it.
async fn to_log(mut output: impl AsyncRead + Unpin, ctx: StepContext) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        ctx.log_bytes(&buffer[..read]);
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(KEPT_ERROR);
        kept.drain(..surplus);
    }
    kept
}

impl Child {
    /// Its standard output, once, when asked for with [`Program::with_stdout`].
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// Its standard input, once, when asked for with [`Program::with_stdin`].
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// Waits for its end. When the step is cancelled, the group gets SIGTERM, a grace of 10 s,
    /// then SIGKILL.
    pub async fn wait(mut self) -> Result<Exit, StepError> {
        let cancel = self.ctx.cancel().clone();
        let status = tokio::select! {
            status = self.inner.wait() => status,
            () = cancel.cancelled() => {
                self.stop().await;
                return Err(StepError::cancelled());
            }
        };
        let status = status.map_err(|error| {
            StepError::ambiguous("RB0411", format!("the end of `{}` is unknown", self.program))
                .caused_by(&error)
        })?;
        let stderr = self.stderr.await.unwrap_or_default();
        if let Some(stdout) = self.stdout {
            stdout.await.unwrap_or_default();
        }
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        Ok(Exit { program: self.program, status, stderr })
    }

    async fn stop(&mut self) {
        let signal = |signal| kill_process_group(self.pid, signal);
        if signal(Signal::TERM).is_ok()
            && tokio::time::timeout(GRACE, self.inner.wait()).await.is_err()
        {
            signal(Signal::KILL).ok();
            self.inner.wait().await.ok();
        }
    }
}

/// The standard output of a short-lived program, for secrets and versions; its standard error
/// is dropped, for it may hold what the output holds.
pub async fn output(argv: &[String], limit: Duration) -> Result<Vec<u8>, String> {
    let [program, rest @ ..] = argv else { return Err("the command is empty".to_owned()) };
    let mut command = Command::new(program);
    command.args(rest).env_clear().kill_on_drop(true);
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    match tokio::time::timeout(limit, command.output()).await {
        Err(_) => Err(format!("`{program}` gave no answer for {} s", limit.as_secs())),
        Ok(Err(error)) => Err(format!("`{program}` could not be started: {error}")),
        Ok(Ok(output)) if !output.status.success() => {
            Err(format!("`{program}` ended with {}", output.status))
        }
        Ok(Ok(output)) => Ok(output.stdout),
    }
}

/// The standard output of a program that may ask the person at the terminal, such as for the
/// passphrase of a key; `input` is its standard input.
pub fn attended(argv: &[String], input: &[u8]) -> Result<Vec<u8>, String> {
    let [program, rest @ ..] = argv else { return Err("the command is empty".to_owned()) };
    let failed = |error: std::io::Error| format!("`{program}` could not be started: {error}");
    let mut command = std::process::Command::new(program);
    command.args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // A program that does not read its input says why on its standard error.
    std::io::Write::write_all(&mut stdin, input).ok();
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`{program}` ended with {}: {said}", output.status))
}

impl ChildRecord {
    /// What the kernel says of a process; nothing when it has ended.
    pub fn of(program: &str, pid: Pid) -> Option<Self> {
        let pid = pid.as_raw_nonzero().get();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let after_name = stat.rsplit_once(')')?.1;
        let start_time = after_name.split_whitespace().nth(19)?.parse().ok()?;
        let boot_id = boot_id()?;
        Some(Self { program: program.to_owned(), pid, start_time, boot_id })
    }

    /// Whether that very process still runs: same pid, same start, same boot.
    pub fn is_alive(&self) -> bool {
        let pid = Pid::from_raw(self.pid);
        pid.and_then(|pid| Self::of(&self.program, pid)).is_some_and(|now| now == *self)
    }
}

/// Whether the kernel holds a process stopped (SIGSTOP, Ctrl-Z).
pub fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    matches!(state, Some("T" | "t"))
}

/// The kernel's id of this boot.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
