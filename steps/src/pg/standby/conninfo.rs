//! How a standby finds its primary: `primary_conninfo`, whose password lies in a file of the
//! server's account, never in a setting, an argument or the journal.
//! <https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-PRIMARY-CONNINFO>

use std::path::{Path, PathBuf};

use engine::context::StepContext;
use engine::environment::Account;
use engine::files;
use engine::process::Program;
use model::step_error::StepError;
use secrecy::ExposeSecret;

use crate::pg::pgpass::{self, Pgpass};
use crate::pg::sql::literal;
use crate::pg::target::Target;

/// How the primary is reached, and the file that holds the password.
pub(super) struct Upstream {
    /// A connection string without the password.
    pub(super) conninfo: String,
    pgpass: Pgpass,
    passfile: Option<PathBuf>,
}

impl Upstream {
    /// Writes the password beside the data directory, for the account that runs the server.
    pub(super) fn new(
        ctx: &StepContext,
        primary: &Target,
        name: &str,
        data: &Path,
        account: Option<&Account>,
    ) -> Result<Self, StepError> {
        let pgpass = Pgpass::write(ctx, primary)?;
        let passfile = match &primary.password {
            Some(password) => {
                let path = beside(data, "pgpass");
                let line = pgpass::line(&primary.user, password.expose_secret());
                write_private(&path, line.as_bytes(), account)?;
                Some(path)
            }
            None => None,
        };
        let mut parts = pgpass.keywords();
        let file = passfile.as_ref().map(|path| path.to_string_lossy().into_owned());
        parts.extend(file.map(|path| ("passfile", path)));
        parts.push(("application_name", name.to_owned()));
        let parts = parts.iter().map(|(keyword, value)| format!("{keyword}={}", quoted(value)));
        Ok(Self { conninfo: parts.collect::<Vec<_>>().join(" "), pgpass, passfile })
    }

    /// Gives a program of the server's account the way to the primary.
    pub(super) fn give(&self, program: Program) -> Program {
        let program = self.pgpass.apply(program);
        match &self.passfile {
            // The step's own file is closed to that account.
            Some(path) => program.env("PGPASSFILE", path),
            None => program,
        }
    }
}

/// `main.pgpass` for the data directory `main`.
pub(super) fn beside(data: &Path, what: &str) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    data.with_file_name(name)
}

/// Writes a file (0600) that belongs to the server's account; whole or not at all.
pub(super) fn write_private(
    path: &Path,
    bytes: &[u8],
    account: Option<&Account>,
) -> Result<(), StepError> {
    let owner = account.map(|account| (account.uid, account.gid));
    files::write_durably_for(path, bytes, owner).map_err(|error| {
        let message = format!("`{}` could not be written", path.display());
        StepError::needs_operator("RB0559", message).caused_by(&error)
    })
}

/// A value of a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A line of `postgresql.auto.conf`, where a backslash stands for itself only when it is doubled.
pub(super) fn setting(name: &str, value: &str) -> String {
    let quoted = literal(value);
    format!("{name} = {}", quoted.trim_start().trim_start_matches('E'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(quoted(r"it's \ here"), r"'it\'s \\ here'");
        assert_eq!(setting("port", "5433"), "port = '5433'");
        assert_eq!(
            setting("primary_conninfo", &format!("host={}", quoted("it's"))),
            "primary_conninfo = 'host=''it\\\\''s'''"
        );
    }

    #[test]
    fn a_file_stands_beside_the_data_directory() {
        let path = beside(Path::new("/var/lib/postgresql/15/main"), "pgpass");
        assert_eq!(path, Path::new("/var/lib/postgresql/15/main.pgpass"));
    }
}
