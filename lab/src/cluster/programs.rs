//! PostgreSQL's programs: where they are, and as whom they run.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::error::{Attempt, ClusterError};

/// The account that runs the server when the caller is root, which PostgreSQL refuses to run as.
const ACCOUNT: &str = "postgres";

/// The folder of one PostgreSQL installation's programs and the account they run as.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    bin: PathBuf,
    account: Option<Account>,
}

/// A user and group to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Programs {
    /// Finds the server programs: PATH first, then the newest of Debian's version folders.
    pub(super) fn find() -> Result<Self, ClusterError> {
        let bin = on_path()
            .or_else(|| newest_of(Path::new("/usr/lib/postgresql")))
            .ok_or(ClusterError::NoPrograms)?;
        let account = if rustix::process::geteuid().is_root() {
            let users = Path::new("/etc/passwd");
            let text = fs::read_to_string(users).attempt("read", users)?;
            Some(account_in(&text).ok_or(ClusterError::NoAccount)?)
        } else {
            None
        };
        Ok(Self { bin, account })
    }

    /// The account the server runs as, when it is not the caller's own.
    pub(super) fn account(&self) -> Option<Account> {
        self.account
    }

    /// The path of one program.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// A command in a clean environment, as the caller.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(self.bin.join(program.as_ref()));
        command.env_clear().envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("PGCLIENTENCODING", "UTF8"),
        ]);
        command.stdin(Stdio::null());
        command
    }

    /// A command in a clean environment, as the account that owns the cluster.
    pub(super) fn server_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(program);
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/");
        command
    }
}

/// Runs a command to its end and hands back what it printed.
pub(super) fn output(command: &mut Command) -> Result<String, ClusterError> {
    let done = command.output().attempt("run", &program_of(command))?;
    checked(command, &done)
}

/// Runs a command with a text on its standard input.
pub(super) fn output_for(command: &mut Command, input: &str) -> Result<String, ClusterError> {
    let program = program_of(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .attempt("run", &program)?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let text = input.to_owned();
    // A program that stops reading early says why on standard error, so a broken pipe is no news.
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let done = child.wait_with_output().attempt("wait for", &program)?;
    drop(writer.join());
    checked(command, &done)
}

fn checked(command: &Command, done: &Output) -> Result<String, ClusterError> {
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let name = program_of(command);
    let name = name.file_name().unwrap_or_default();
    Err(ClusterError::Program {
        program: name.to_string_lossy().into_owned(),
        status: done.status,
        stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

fn program_of(command: &Command) -> PathBuf {
    PathBuf::from(command.get_program())
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|folder| {
        // The link's target, so that the other programs of the same version are beside it.
        let real = fs::canonicalize(folder.join("initdb")).ok()?;
        real.parent().filter(|bin| is_server(bin)).map(Path::to_path_buf)
    })
}

fn newest_of(versions: &Path) -> Option<PathBuf> {
    fs::read_dir(versions)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let major: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .filter(|(_, bin)| is_server(bin))
        .max()
        .map(|(_, bin)| bin)
}

fn is_server(bin: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|program| bin.join(program).is_file())
}

fn account_in(passwd: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != ACCOUNT {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_its_own_line() {
        let text = "root:x:0:0:root:/root:/bin/bash\npostgresql:x:7:8::/:/bin/sh\n\
                    postgres:x:103:110:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(account_in(text), Some(Account { uid: 103, gid: 110 }));
        assert_eq!(account_in("root:x:0:0::/root:/bin/sh\n"), None);
    }

    #[test]
    fn the_newest_version_is_chosen_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "16", "17", "x"] {
            let bin = folder.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            if version == "17" {
                continue; // client only
            }
            for program in ["initdb", "pg_ctl", "postgres", "psql"] {
                fs::write(bin.join(program), "").unwrap();
            }
        }
        assert_eq!(newest_of(folder.path()), Some(folder.path().join("16/bin")));
        assert_eq!(newest_of(&folder.path().join("none")), None);
    }
}
