//! A data folder made once by `initdb` and copied for each cluster: 0.1 s instead of 1 s.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Attempt, ClusterError};
use super::home::{Home, hand_over};
use super::programs::{Account, Programs, output};

/// Goes into the template's name: raise it when the settings or `initdb`'s options change.
const LAYOUT: u32 = 2;

/// What every cluster runs with. Nothing here survives a power cut, and nothing has to.
const SETTINGS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = logical
max_wal_size = 4GB
wal_init_zero = off
wal_recycle = off
listen_addresses = '127.0.0.1'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a %u@%d '
";

/// A data folder of one server version that no server has run on.
pub(super) struct Template {
    folder: PathBuf,
}

impl Template {
    /// Finds the template of this server version, or makes it while others wait.
    pub(super) fn ready(home: &Home, programs: &Programs) -> Result<Self, ClusterError> {
        let version = output(programs.command("postgres").arg("--version"))?;
        let folder = home.join(&format!("template-{LAYOUT}-{}", plain(&version)));
        let _alone = home.lock()?;
        if !folder.exists() {
            let draft = folder.with_extension("draft");
            if draft.exists() {
                fs::remove_dir_all(&draft).attempt("remove", &draft)?;
            }
            fs::create_dir(&draft).attempt("create", &draft)?;
            hand_over(&draft, programs.account())?;
            initialise(&draft, programs)?;
            fs::rename(&draft, &folder).attempt("rename", &draft)?;
        }
        Ok(Self { folder })
    }

    /// Copies it into a cluster's folder.
    pub(super) fn copy_to(&self, folder: &Path) -> Result<(), ClusterError> {
        // `cp` keeps owners and modes, and shares blocks where the file system can.
        output(
            Command::new("cp")
                .arg("-a")
                .args([self.folder.join("data"), password_file(&self.folder)])
                .arg(folder),
        )
        .map(drop)
    }
}

/// Makes `data` and `password` in a folder.
pub(super) fn initialise(folder: &Path, programs: &Programs) -> Result<(), ClusterError> {
    keep_password(folder, &random_word()?, programs.account())?;
    let password = password_file(folder);
    let data = folder.join("data");
    output(
        programs
            .server_command("initdb")
            .args(["--no-sync", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--lc-messages=C", "--auth-local=trust"])
            .args(["--auth-host=scram-sha-256", "--pwfile"])
            .args([password.as_path(), Path::new("--pgdata"), &data]),
    )?;
    append(&data.join("postgresql.conf"), SETTINGS)
}

/// Adds lines to a configuration file.
pub(super) fn append(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .attempt("write", path)
}

/// Writes the file that [`password_in`] reads.
pub(super) fn keep_password(
    folder: &Path,
    password: &str,
    account: Option<Account>,
) -> Result<(), ClusterError> {
    write_closed(&password_file(folder), password, account)
}

/// The password of a cluster's superuser.
pub(super) fn password_in(folder: &Path) -> Result<String, ClusterError> {
    let path = password_file(folder);
    fs::read_to_string(&path).attempt("read", &path)
}

fn password_file(folder: &Path) -> PathBuf {
    folder.join("password")
}

fn write_closed(path: &Path, text: &str, account: Option<Account>) -> Result<(), ClusterError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .attempt("write", path)?;
    match account {
        Some(Account { uid, gid }) => chown(path, Some(uid), Some(gid)).attempt("hand over", path),
        None => Ok(()),
    }
}

fn random_word() -> Result<String, ClusterError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| std::io::Error::other(error.to_string()))
        .attempt("read", Path::new("the system's random numbers"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn plain(version: &str) -> String {
    version
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' })
        .collect()
}
