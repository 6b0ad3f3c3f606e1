//! PostgreSQL's client programs: their versions, their output, how they fail.

use bytes::{Bytes, BytesMut};
use engine::context::StepContext;
use engine::process::{Exit, Program};
use model::step_error::StepError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

use super::classify::MISSING_PRIVILEGE;
use super::pgpass::Pgpass;
use super::target::Target;

const CHUNK: usize = 256 * 1024;

/// A client program that was found, and its version.
#[derive(Debug, Clone)]
pub(super) struct ClientProgram {
    pub(super) name: &'static str,
    /// `15.14 (Debian 15.14-0+deb12u1)`.
    pub(super) version: String,
    major: u32,
}

impl ClientProgram {
    /// Finds the program and asks for its version.
    pub(super) async fn find(ctx: &StepContext, name: &'static str) -> Result<Self, StepError> {
        let text = output_offline(ctx, name, &["--version".to_owned()]).await?;
        let version = text.split_once("(PostgreSQL) ").map(|(_, version)| version.trim());
        let major = version.and_then(major_version);
        let (Some(version), Some(major)) = (version, major) else {
            let message = format!("`{name} --version` did not print a version of PostgreSQL");
            return Err(StepError::needs_operator("RB0514", message)
                .hint(format!("put PostgreSQL's `{name}` first on `PATH`")));
        };
        Ok(Self { name, version: version.to_owned(), major })
    }

    /// Refuses a client that is older than the server: it may not know everything there.
    /// <https://www.postgresql.org/docs/current/app-pgdump.html>, Notes.
    pub(super) fn check_not_older(&self, server_version: u32) -> Result<(), StepError> {
        let server = server_version / 10_000;
        if self.major >= server {
            return Ok(());
        }
        let message =
            format!("`{}` is version {}, older than the server's {server}", self.name, self.major);
        Err(StepError::needs_operator("RB0514", message).hint(format!(
            "install the client programs of PostgreSQL {server} or newer and put them first on `PATH`"
        )))
    }
}

fn major_version(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// Runs a program to its end; its output goes to the step's log.
pub(super) async fn run(
    ctx: &StepContext,
    target: &Target,
    name: &str,
    args: &[String],
) -> Result<(), StepError> {
    let pgpass = Pgpass::write(ctx, target)?;
    let child = pgpass.apply(Program::new(name).args(args)).start(ctx).await?;
    succeeded(&child.wait().await?)
}

/// Runs a program that needs no server; gives what it prints.
pub(super) async fn output_offline(
    ctx: &StepContext,
    name: &str,
    args: &[String],
) -> Result<String, StepError> {
    let program = Program::new(name).args(args).env("LC_ALL", "C").with_stdout();
    let mut child = program.start(ctx).await?;
    let mut printed = Vec::new();
    if let Some(mut stdout) = child.stdout() {
        while let Some(chunk) = next_chunk(ctx, name, &mut stdout).await? {
            printed.extend_from_slice(&chunk);
        }
    }
    succeeded(&child.wait().await?)?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// Runs a program and sends what it prints; one that needs no server gets no `target`.
pub(super) async fn send_output(
    ctx: &StepContext,
    target: Option<&Target>,
    name: &str,
    args: &[String],
    printed: &mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let pgpass = target.map(|target| Pgpass::write(ctx, target)).transpose()?;
    let program = Program::new(name).args(args).env("LC_ALL", "C").with_stdout();
    let program = match &pgpass {
        Some(pgpass) => pgpass.apply(program),
        None => program,
    };
    let mut child = program.start(ctx).await?;
    let mut stdout = child.stdout().expect("the output was asked for");
    while let Some(chunk) = next_chunk(ctx, name, &mut stdout).await? {
        if printed.send(chunk).await.is_err() {
            // Whoever took it went away and says why.
            return Ok(());
        }
    }
    succeeded(&child.wait().await?)
}

/// Runs a program that reads what is sent.
pub(super) async fn feed(
    ctx: &StepContext,
    target: &Target,
    name: &str,
    args: &[String],
    mut sent: mpsc::Receiver<Bytes>,
) -> Result<(), StepError> {
    let pgpass = Pgpass::write(ctx, target)?;
    let program = pgpass.apply(Program::new(name).args(args)).with_stdin();
    let mut child = program.start(ctx).await?;
    let mut stdin = child.stdin().expect("the input was asked for");
    let feeding = async move {
        while let Some(chunk) = sent.recv().await {
            // A program that ended early says why when it is waited for.
            if stdin.write_all(&chunk).await.is_err() {
                return;
            }
        }
        stdin.shutdown().await.ok();
    };
    let ((), exit) = tokio::join!(feeding, child.wait());
    succeeded(&exit?)
}

/// Nothing at the end of the output, or when the step is cancelled: waiting says which.
async fn next_chunk(
    ctx: &StepContext,
    name: &str,
    stdout: &mut ChildStdout,
) -> Result<Option<Bytes>, StepError> {
    let mut chunk = BytesMut::with_capacity(CHUNK);
    let read = tokio::select! {
        biased;
        () = ctx.cancel().cancelled() => return Ok(None),
        read = stdout.read_buf(&mut chunk) => read,
    };
    let read = read.map_err(|error| {
        StepError::transient("RB0517", format!("the output of `{name}` broke off"))
            .caused_by(&error)
    })?;
    Ok((read > 0).then(|| chunk.freeze()))
}

/// A connection string that names only the database: a bare name with `=` in it would be read as
/// one. <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>
pub(super) fn conninfo(target: &Target) -> String {
    format!("dbname='{}'", target.dbname.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn succeeded(exit: &Exit) -> Result<(), StepError> {
    if exit.status.success() { Ok(()) } else { Err(failed(exit)) }
}

/// A program tells why it failed only in words; these are stable in English, which the
/// programs speak because no language is handed to them.
fn failed(exit: &Exit) -> StepError {
    let said = exit.stderr.as_str();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let message = format!("`{}` failed ({})", exit.program, exit.status);
    // `--lock-wait-timeout` of `pg_dump` is a `statement_timeout` around its LOCK TABLE.
    let gave_up = says(&["statement timeout"]) && says(&["LOCK TABLE"]);
    let error = if gave_up || says(&["lock timeout", "could not obtain lock"]) {
        StepError::transient("RB0508", message)
            .hint("another session holds the lock or waits for it: see `pg_locks`")
    } else if says(&["authentication failed", "no password supplied", "pg_hba.conf"]) {
        StepError::needs_operator("RB0502", message)
    } else if says(&["permission denied", "must be owner", "must be superuser"]) {
        StepError::needs_operator("RB0509", message).hint(MISSING_PRIVILEGE)
    } else if says(&["No space left on device", "could not extend file"]) {
        StepError::needs_operator("RB0507", message).hint("free disk space on the server")
    } else if says(&["terminating connection", "server closed the connection"]) {
        StepError::ambiguous("RB0505", message)
    } else if says(&["could not connect", "connection to server", "conflict with recovery"]) {
        StepError::transient("RB0501", message)
    } else {
        StepError::permanent("RB0517", message).hint("the step's log holds all it printed")
    };
    said.lines().fold(error, |mut error, line| {
        error.causes.push(line.to_owned());
        error
    })
}
