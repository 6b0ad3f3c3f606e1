//! PostgreSQL's client programs: their versions, their output, how they fail.

mod container;

use bytes::{Bytes, BytesMut};
use engine::context::StepContext;
use engine::process::{Child, Exit, Program};
use model::step_error::StepError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

use self::container::Inside;
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
    pub(super) async fn find(
        ctx: &StepContext,
        target: &Target,
        name: &'static str,
    ) -> Result<Self, StepError> {
        let text = output_offline(ctx, Some(target), name, &["--version".to_owned()]).await?;
        let (version, major) = printed_version(name, &text)?;
        Ok(Self { name, version, major })
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

/// What `--version` of one of PostgreSQL's programs printed.
fn printed_version(name: &str, text: &str) -> Result<(String, u32), StepError> {
    let version = text.split_once("(PostgreSQL) ").map(|(_, version)| version.trim());
    let parts = version.and_then(|version| Some((version.to_owned(), major_version(version)?)));
    parts.ok_or_else(|| {
        let message = format!("`{name} --version` did not print a version of PostgreSQL");
        StepError::needs_operator("RB0514", message)
            .hint(format!("put PostgreSQL's `{name}` first on `PATH`"))
    })
}

/// The version of a program of this machine.
pub(super) async fn version_of(ctx: &StepContext, path: &str) -> Result<String, StepError> {
    let text = output_offline(ctx, None, path, &["--version".to_owned()]).await?;
    printed_version(path, &text).map(|(version, _)| version)
}

pub(super) fn major_version(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// A program about to start: on this machine, or in the server's container.
struct Tool<'a> {
    program: Program,
    /// The password file lives as long as the program.
    _pgpass: Option<Pgpass>,
    inside: Option<Inside<'a>>,
}

impl<'a> Tool<'a> {
    /// A program that needs no server is started without a `target`.
    async fn new(
        ctx: &'a StepContext,
        target: Option<&'a Target>,
        name: &str,
        args: &[String],
    ) -> Result<Self, StepError> {
        let Some(target) = target else {
            let program = Program::new(name).args(args).env("LC_ALL", "C");
            return Ok(Self { program, _pgpass: None, inside: None });
        };
        if let Some(container) = &target.container {
            let (inside, args) = Inside::enter(ctx, container, args).await?;
            let program = inside.program(target, name, &args);
            return Ok(Self { program, _pgpass: None, inside: Some(inside) });
        }
        let pgpass = Pgpass::write(ctx, target)?;
        let program = pgpass.apply(Program::new(name).args(args));
        Ok(Self { program, _pgpass: Some(pgpass), inside: None })
    }

    /// Starts it, lets `work` talk to it, and waits for its end, unless `work` lost interest.
    async fn run<T>(
        self,
        ctx: &StepContext,
        prepare: impl FnOnce(Program) -> Program,
        work: impl AsyncFnOnce(&mut Child) -> Result<Option<T>, StepError>,
    ) -> Result<Option<T>, StepError> {
        let ran = Box::pin(async {
            let mut child = prepare(self.program).start(ctx).await?;
            let done = work(&mut child).await?;
            if done.is_some() {
                succeeded(&child.wait().await?)?;
            }
            Ok(done)
        })
        .await;
        match self.inside {
            Some(inside) => {
                let left = inside.leave(ran.is_ok()).await;
                ran.and_then(|done| left.map(|()| done))
            }
            None => ran,
        }
    }
}

/// Runs a program to its end; its output goes to the step's log.
pub(super) async fn run(
    ctx: &StepContext,
    target: &Target,
    name: &str,
    args: &[String],
) -> Result<(), StepError> {
    let tool = Tool::new(ctx, Some(target), name, args).await?;
    tool.run(ctx, |program| program, async |_| Ok(Some(()))).await.map(drop)
}

/// Runs a program that asks no server; gives what it prints. It runs beside the server of
/// `target`, when there is one.
pub(super) async fn output_offline(
    ctx: &StepContext,
    target: Option<&Target>,
    name: &str,
    args: &[String],
) -> Result<String, StepError> {
    let beside = target.filter(|target| target.container.is_some());
    let tool = Tool::new(ctx, beside, name, args).await?;
    let printed = tool.run(ctx, Program::with_stdout, async |child| {
        let mut printed = Vec::new();
        let mut stdout = child.stdout().expect("the output was asked for");
        while let Some(chunk) = next_chunk(ctx, name, &mut stdout).await? {
            printed.extend_from_slice(&chunk);
        }
        Ok(Some(printed))
    });
    Ok(String::from_utf8_lossy(&printed.await?.unwrap_or_default()).into_owned())
}

/// Runs a program and sends what it prints.
pub(super) async fn send_output(
    ctx: &StepContext,
    target: &Target,
    name: &str,
    args: &[String],
    printed: &mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let tool = Tool::new(ctx, Some(target), name, args).await?;
    let sending = tool.run(ctx, Program::with_stdout, async |child| {
        let mut stdout = child.stdout().expect("the output was asked for");
        while let Some(chunk) = next_chunk(ctx, name, &mut stdout).await? {
            if printed.send(chunk).await.is_err() {
                // Whoever took it went away and says why.
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    sending.await.map(drop)
}

/// Runs a program of this machine, called `name`, and sends what it prints.
pub(super) async fn send_printed(
    ctx: &StepContext,
    program: Program,
    name: &str,
    printed: &mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let mut child = program.with_stdout().start(ctx).await?;
    let mut stdout = child.stdout().expect("the output was asked for");
    while let Some(chunk) = next_chunk(ctx, name, &mut stdout).await? {
        if printed.send(chunk).await.is_err() {
            // Whoever took it went away and says why.
            return Ok(());
        }
    }
    succeeded(&child.wait().await?)
}

/// Runs a program of this machine that reads what is sent.
pub(super) async fn feed_program(
    ctx: &StepContext,
    program: Program,
    mut sent: mpsc::Receiver<Bytes>,
) -> Result<(), StepError> {
    let mut child = program.with_stdin().start(ctx).await?;
    let mut stdin = child.stdin().expect("the input was asked for");
    while let Some(chunk) = sent.recv().await {
        // A program that ended early says why when it is waited for.
        if stdin.write_all(&chunk).await.is_err() {
            break;
        }
    }
    stdin.shutdown().await.ok();
    drop(stdin);
    succeeded(&child.wait().await?)
}

/// Runs a program of this machine to its end; its output goes to the step's log.
pub(super) async fn run_program(ctx: &StepContext, program: Program) -> Result<(), StepError> {
    succeeded(&program.start(ctx).await?.wait().await?)
}

/// Runs a program that reads what is sent.
pub(super) async fn feed(
    ctx: &StepContext,
    target: &Target,
    name: &str,
    args: &[String],
    mut sent: mpsc::Receiver<Bytes>,
) -> Result<(), StepError> {
    let tool = Tool::new(ctx, Some(target), name, args).await?;
    let feeding = tool.run(ctx, Program::with_stdin, async |child| {
        let mut stdin = child.stdin().expect("the input was asked for");
        while let Some(chunk) = sent.recv().await {
            // A program that ended early says why when it is waited for.
            if stdin.write_all(&chunk).await.is_err() {
                return Ok(Some(()));
            }
        }
        stdin.shutdown().await.ok();
        Ok(Some(()))
    });
    feeding.await.map(drop)
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

pub(super) fn succeeded(exit: &Exit) -> Result<(), StepError> {
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
    } else if says(&["deadlock detected"]) {
        // `pg_restore --jobs` may meet itself: two indexes of one table with more to say of each.
        StepError::transient("RB0506", message)
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
