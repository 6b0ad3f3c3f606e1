//! One work tree, and the program `git` in it.

use std::ffi::OsStr;
use std::path::PathBuf;

use engine::context::StepContext;
use engine::process::Program;
use model::step_error::StepError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// No output that is read is longer, in bytes.
const READ_LIMIT: usize = 1 << 20;

/// What a call of `git` gave.
pub(super) struct Said {
    /// The exit status; absent when a signal ended it.
    pub(super) status: Option<i32>,
    /// Standard output, without the last line end.
    pub(super) stdout: String,
    stderr: String,
}

/// A work tree.
pub(super) struct Repository<'a> {
    ctx: &'a StepContext,
    folder: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl<'a> Repository<'a> {
    /// The work tree at `folder`, with the identity that commits carry. Refuses a folder that is
    /// not the top of one.
    pub(super) async fn open(
        ctx: &'a StepContext,
        folder: &str,
        name: &str,
        email: &str,
    ) -> Result<Self, StepError> {
        let mut env = vec![
            // Nobody is there to ask for a password.
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("LC_ALL", "C".to_owned()),
        ];
        for (name_key, email_key) in
            [("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"), ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")]
        {
            env.extend([(name_key, name.to_owned()), (email_key, email.to_owned())]);
        }
        let repository = Self { ctx, folder: PathBuf::from(folder), env };
        let top = repository.call(&["rev-parse", "--show-cdup"]).await?;
        if top.status == Some(0) && top.stdout.is_empty() {
            return Ok(repository);
        }
        let message = format!("`{folder}` is not the top of a work tree of Git");
        let mut error = StepError::permanent("RB0750", message);
        error.causes.extend(top.stderr.lines().last().map(str::to_owned));
        Err(error.hint("clone the repository there; the account that runs `runbook` owns it"))
    }

    /// Runs `git` with these arguments, whatever its exit status.
    pub(super) async fn call(&self, args: &[&str]) -> Result<Said, StepError> {
        self.feed(args, None).await
    }

    /// Runs `git` with this on its standard input.
    pub(super) async fn feed(&self, args: &[&str], input: Option<&str>) -> Result<Said, StepError> {
        // Paths mean themselves; hooks are programs that the plan does not name.
        let fixed = ["--literal-pathspecs", "-c", "core.hooksPath=/dev/null"];
        let place = [OsStr::new("-C"), self.folder.as_os_str()];
        let mut program = Program::new("git").args(place).args(fixed).args(args).with_stdout();
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        if input.is_some() {
            program = program.with_stdin();
        }
        let mut child = program.start(self.ctx).await?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin()) {
            // A program that reads nothing says why when it ends.
            stdin.write_all(text.as_bytes()).await.ok();
        }
        let stdout = child.stdout().expect("standard output was asked for");
        let (exit, stdout) = tokio::join!(child.wait(), read(stdout));
        let exit = exit?;
        Ok(Said { status: exit.status.code(), stdout, stderr: exit.stderr })
    }

    /// Runs `git`, which must succeed; gives what it prints.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String, StepError> {
        self.call(args).await?.succeeded(args[0])
    }
}

impl Said {
    /// What it printed, or the error of a call that failed and changed no history.
    pub(super) fn succeeded(self, what: &str) -> Result<String, StepError> {
        if self.status == Some(0) { Ok(self.stdout) } else { Err(self.failed("RB0751", what)) }
    }

    /// The error of a call that failed. A network that is not there may come back.
    pub(super) fn failed(&self, code: &str, what: &str) -> StepError {
        let passing = [
            "Could not resolve host",
            "Could not connect",
            "Connection refused",
            "Connection timed out",
            "Connection reset",
            "Operation timed out",
            "The remote end hung up",
        ];
        let message = match self.status {
            Some(status) => format!("`git {what}` ended with exit status {status}"),
            None => format!("`git {what}` was ended by a signal"),
        };
        let says = |words: &&str| self.stderr.contains(*words);
        let mut error = if passing.iter().any(says) {
            StepError::transient(code, message)
        } else if self.stderr.contains("index.lock") {
            StepError::needs_operator(code, message)
                .hint("another `git` works there, or was killed: then remove `.git/index.lock`")
        } else {
            StepError::permanent(code, message)
        };
        error.causes.extend(self.stderr.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        error
    }
}

async fn read(mut output: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let room = (READ_LIMIT - kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
    }
    let text = String::from_utf8_lossy(&kept);
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}
