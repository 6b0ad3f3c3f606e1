//! The home of the environment: variables, the login, the machine's name, programs on `PATH`.
#![expect(clippy::disallowed_methods, reason = "this is the home of the environment")]

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::fs::{Access, access};

/// An environment variable that is set and is text.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An environment variable as bytes.
pub fn raw_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The login, as the environment or the user id tells it; nobody has proved it.
pub fn login() -> String {
    ["LOGNAME", "USER"]
        .iter()
        .find_map(|name| variable(name).filter(|login| !login.is_empty()))
        .unwrap_or_else(|| account(rustix::process::getuid().as_raw()))
}

/// The name of an account of this machine, else its number.
fn account(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?.to_owned(), fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    };
    passwd.lines().find_map(of).unwrap_or_else(|| format!("uid {uid}"))
}

/// An account of this machine, to run a program as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
}

/// The account of that name, if this machine has one.
pub fn account_named(name: &str) -> Option<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (found, uid) = (fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?);
        let gid = fields.next()?.parse().ok()?;
        (found == name).then_some(Account { name: found, uid, gid })
    };
    passwd.lines().find_map(of)
}

/// Whether this process may act as any account.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The number of the account that this process acts as.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Where the program lies that runs now.
pub fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Where a program is found on `PATH`, or the path itself when it has a slash.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    let path = raw_variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(executable)
}
