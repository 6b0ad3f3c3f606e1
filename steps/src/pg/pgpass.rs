//! The environment of PostgreSQL's client programs: the password lies in a private file, never
//! in an argument or a variable.
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>
#![expect(clippy::disallowed_methods, reason = "the home of the password file for client programs")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::context::StepContext;
use engine::process::Program;
use model::step_error::StepError;
use secrecy::ExposeSecret;

use super::connection::application_name;
use super::environment;
use super::target::{Roots, Target, Tls};

/// What a connection string calls the variables that say how a server is reached.
/// <https://www.postgresql.org/docs/current/libpq-envars.html>
const KEYWORDS: [(&str, &str); 9] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGCHANNELBINDING", "channel_binding"),
];

/// A password file in the step's scratch folder, gone with the value.
pub struct Pgpass {
    path: Option<PathBuf>,
    variables: Vec<(&'static str, String)>,
}

impl Pgpass {
    /// Writes the file, mode 0600, for one target.
    pub fn write(ctx: &StepContext, target: &Target) -> Result<Self, StepError> {
        let mut variables = common(ctx, target);
        variables.push(("PGHOST", target.host.clone()));
        variables.push(("PGPORT", target.port.to_string()));
        variables.push(("PGSSLMODE", target.tls.mode.as_str().to_owned()));
        variables.extend(target.address.map(|address| ("PGHOSTADDR", address.to_string())));
        if target.bound_to_channel {
            variables.push(("PGCHANNELBINDING", "require".to_owned()));
        }
        variables.extend(certificates(&target.tls));
        let path = match &target.password {
            Some(password) => Some(write(&ctx.scratch_folder()?, password.expose_secret())?),
            None => None,
        };
        let pgpass = path.as_deref().unwrap_or(Path::new("/dev/null"));
        variables.push(("PGPASSFILE", pgpass.to_string_lossy().into_owned()));
        Ok(Self { path, variables })
    }

    /// The same as parts of a connection string, without the password and the database.
    pub(super) fn keywords(&self) -> Vec<(&'static str, String)> {
        let keyword = |name: &str| KEYWORDS.iter().find(|(variable, _)| *variable == name);
        let variables = self.variables.iter();
        let known = variables.filter_map(|(name, value)| Some((keyword(name)?.1, value.clone())));
        known.collect()
    }

    /// Gives a program the environment.
    pub fn apply(&self, program: Program) -> Program {
        self.variables.iter().fold(program, |program, (name, value)| program.env(name, value))
    }
}

/// The variables of a program in the server's container, which goes through its socket; the
/// password is one of them.
pub(super) fn inside(ctx: &StepContext, target: &Target) -> Vec<(&'static str, String)> {
    let mut variables = common(ctx, target);
    let password = target.password.as_ref();
    variables.extend(password.map(|text| ("PGPASSWORD", text.expose_secret().to_owned())));
    variables
}

fn common(ctx: &StepContext, target: &Target) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("PGUSER", target.user.clone()),
        ("PGDATABASE", target.dbname.clone()),
        ("PGAPPNAME", application_name(ctx)),
        ("PGCONNECT_TIMEOUT", target.connect_timeout.map_or(0, |t| t.as_secs()).to_string()),
        // Messages in English: `programs` tells failures apart by their words.
        ("LC_ALL", "C".to_owned()),
    ];
    variables.extend(target.options.clone().map(|options| ("PGOPTIONS", options)));
    variables
}

fn certificates(tls: &Tls) -> Vec<(&'static str, String)> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut variables = Vec::new();
    match &tls.roots {
        Roots::None => {}
        Roots::System => {
            variables.push(("PGSSLROOTCERT", text(&environment::system_certificates())));
        }
        Roots::File(path) => variables.push(("PGSSLROOTCERT", text(path))),
    }
    if let Some((certificate, key)) = &tls.client {
        variables.push(("PGSSLCERT", text(certificate)));
        variables.push(("PGSSLKEY", text(key)));
    }
    variables
}

impl Drop for Pgpass {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            fs::remove_file(path).ok();
        }
    }
}

/// The line of a password file, for any server and database.
pub(super) fn line(user: &str, password: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:{}:{}\n", escaped(user), escaped(password))
}

fn write(folder: &Path, password: &str) -> Result<PathBuf, StepError> {
    let failed = |error: std::io::Error| {
        StepError::transient("RB0513", "the password file could not be written").caused_by(&error)
    };
    let free = (0_u32..).map(|number| folder.join(format!("pgpass.{number}")));
    for path in free {
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match opened {
            Ok(mut file) => {
                file.write_all(line("*", password).as_bytes()).map_err(failed)?;
                return Ok(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    unreachable!("there is always a free number")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "p:w\\").unwrap();
        let second = write(folder.path(), "other").unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_to_string(&first).unwrap(), "*:*:*:*:p\\:w\\\\\n");
        let nowhere = write(&folder.path().join("none"), "pw").unwrap_err();
        shown::case("RB0513", nowhere.told());
        assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
