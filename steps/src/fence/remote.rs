//! Starting a program on this machine, or on the server's by ssh.

use std::time::Duration;

use engine::context::StepContext;
use engine::process::Program;
use model::step_error::StepError;
use tokio::io::AsyncReadExt;

use super::input::{Ssh, given};

/// What is kept of a program's output.
const KEPT: u64 = 64 * 1024;

/// The exit status of `ssh` when it could not reach the machine or log in.
const NO_SSH: i32 = 255;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    /// The argument vector in words, without what leads to the machine.
    pub(super) shown: String,
    /// Its exit status; nothing when it was killed or did not end in time.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// It was certainly not started on the machine.
    pub(super) no_machine: bool,
}

impl Ran {
    /// ``  `pg_ctl status` ended with exit status 3 ``, and its last words.
    pub(super) fn told(&self) -> String {
        let how = match self.code {
            _ if self.no_machine => "could not be started there".to_owned(),
            Some(code) => format!("ended with exit status {code}"),
            None => "did not end in time, or was killed".to_owned(),
        };
        let said = self.stderr.lines().next_back().filter(|_| self.code != Some(0));
        let said = said.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        format!("`{}` {how}{said}", self.shown)
    }
}

/// One word of a POSIX shell, whatever is in it: sshd hands the words to the account's shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:@,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Ssh {
    /// The argument vector that runs `argv` on the machine.
    pub(super) fn argv(&self, argv: &[String]) -> Vec<String> {
        let mut out = vec!["ssh".to_owned()];
        let mut option = |text: String| out.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".to_owned());
        option("StrictHostKeyChecking=yes".to_owned());
        option("ConnectTimeout=10".to_owned());
        option("ServerAliveInterval=5".to_owned());
        option("ServerAliveCountMax=3".to_owned());
        if let Some(port) = self.port {
            option(format!("Port={port}"));
        }
        if let Some(user) = given(self.user.as_ref()) {
            option(format!("User={user}"));
        }
        if let Some(file) = given(self.identity_file.as_ref()) {
            option("IdentitiesOnly=yes".to_owned());
            out.extend(["-i".to_owned(), file.to_owned()]);
        }
        if let Some(file) = given(self.known_hosts.as_ref()) {
            out.extend(["-o".to_owned(), format!("UserKnownHostsFile=\"{file}\"")]);
        }
        let words: Vec<_> = argv.iter().map(|word| quoted(word)).collect();
        out.extend(["--".to_owned(), self.host.clone(), words.join(" ")]);
        out
    }
}

/// Runs a program to its end, at most for `limit`.
pub(super) async fn run(
    ctx: &StepContext,
    ssh: Option<&Ssh>,
    argv: &[String],
    limit: Duration,
) -> Result<Ran, StepError> {
    let full = ssh.map_or_else(|| argv.to_vec(), |ssh| ssh.argv(argv));
    let (name, rest) = full.split_first().expect("validate refuses an empty argv");
    let mut child =
        Program::new(name).args(rest).env("LC_ALL", "C").with_stdout().start(ctx).await?;
    let stdout = child.stdout().expect("the output was asked for");
    let reading = async {
        let mut text = Vec::new();
        stdout.take(KEPT).read_to_end(&mut text).await.ok();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let shown = argv.join(" ");
    let ended = async { tokio::join!(child.wait(), reading) };
    let (exit, stdout) = tokio::select! {
        ended = ended => ended,
        slept = ctx.sleep(limit) => {
            slept?;
            let (stdout, stderr) = (String::new(), String::new());
            return Ok(Ran { shown, code: None, stdout, stderr, no_machine: false });
        }
    };
    let exit = exit?;
    ctx.log(&stdout);
    let code = exit.status.code();
    let no_machine = ssh.is_some() && code == Some(NO_SSH);
    Ok(Ran { shown, code, stdout, stderr: exit.stderr, no_machine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_in_a_shell() {
        assert_eq!(quoted("--pgdata=/srv/pg"), "--pgdata=/srv/pg");
        assert_eq!(quoted("{{.State.Running}}"), "'{{.State.Running}}'");
        assert_eq!(quoted("it's; rm -rf $HOME"), r"'it'\''s; rm -rf $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn nothing_of_a_command_is_an_option_of_ssh() {
        let host = "db1.internal".to_owned();
        let (user, port) = (Some("root".to_owned()), Some(2222));
        let ssh = Ssh { host, port, user, identity_file: None, known_hosts: None };
        let argv = ssh.argv(&["-oProxyCommand=x".to_owned(), "a b".to_owned()]);
        let end: Vec<&str> =
            argv.iter().skip_while(|word| *word != "--").map(String::as_str).collect();
        assert_eq!(end, ["--", "db1.internal", "-oProxyCommand=x 'a b'"]);
        assert!(argv.contains(&"BatchMode=yes".to_owned()));
        assert!(argv.contains(&"User=root".to_owned()) && argv.contains(&"Port=2222".to_owned()));
    }
}
