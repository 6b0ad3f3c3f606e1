//! libpq's environment variables and password file, for the parts a connection leaves out.
//! <https://www.postgresql.org/docs/current/libpq-envars.html>,
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>
#![expect(
    clippy::disallowed_methods,
    reason = "the home of libpq's defaults: variables and the password file"
)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// The value of a variable that is set and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name of the account that runs the process, as libpq defaults the role.
pub(super) fn account() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    found.or_else(|| variable("USER")).unwrap_or_else(|| "postgres".to_owned())
}

/// A file of libpq's in the home folder's `.postgresql`, when it is there.
pub(super) fn default_file(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(variable("HOME")?).join(".postgresql").join(name);
    path.exists().then_some(path)
}

/// Others may read a private key: more than its owner, and more than the group of a key of root's.
pub(super) fn is_open_to_others(key: &Path) -> bool {
    std::fs::metadata(key).is_ok_and(|metadata| {
        let allowed = if metadata.uid() == 0 { 0o640 } else { 0o600 };
        metadata.mode() & 0o777 & !allowed != 0
    })
}

/// The file that holds the certificates of the machine, for programs of PostgreSQL 15 and older,
/// which do not know `sslrootcert=system`.
pub(super) fn system_certificates() -> PathBuf {
    let usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let found = usual.iter().find(|path| Path::new(path).exists());
    let named = variable("SSL_CERT_FILE").map(PathBuf::from);
    named.unwrap_or_else(|| found.unwrap_or(&usual[0]).into())
}

/// The service files that can be read, the account's before the machine's; only the one that is
/// named when one is.
pub(super) fn service_files(named: Option<String>) -> Vec<(PathBuf, String)> {
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".pg_service.conf"));
    let account = named.map(PathBuf::from).or(home);
    let system = variable("PGSYSCONFDIR").map_or("/etc/postgresql-common".into(), PathBuf::from);
    let machine = system.join("pg_service.conf");
    let read = |path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?));
    account.into_iter().chain([machine]).filter_map(read).collect()
}

/// The password of the first line of the password file that matches. As in libpq, a file that
/// others may read is ignored.
pub(super) fn password(
    passfile: Option<&str>,
    host: &str,
    port: u16,
    dbname: &str,
    user: &str,
) -> Option<SecretString> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".pgpass"));
    let path = passfile.map(PathBuf::from).or_else(home)?;
    let metadata = std::fs::metadata(&path).ok()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return None;
    }
    let port = port.to_string();
    let wanted = [host, &port, dbname, user];
    std::fs::read_to_string(path).ok()?.lines().find_map(|line| matching(line, &wanted))
}

fn matching(line: &str, wanted: &[&str; 4]) -> Option<SecretString> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [keys @ .., password] = fields.as_slice() else { return None };
    let fits = |(key, wanted): (&String, &&str)| key == "*" || key == wanted;
    let all_fit = keys.len() == wanted.len() && keys.iter().zip(wanted).all(fits);
    all_fit.then(|| password.clone().into())
}

/// Splits at colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut chars) = (vec![String::new()], line.chars());
    while let Some(c) = chars.next() {
        let last = fields.last_mut().expect("there is always a last field");
        match c {
            '\\' => last.extend(chars.next()),
            ':' => fields.push(String::new()),
            other => last.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn found(line: &str) -> Option<String> {
        let wanted = ["db", "5432", "shop", "ann"];
        matching(line, &wanted).map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn a_password_line_matches_by_field_or_star() {
        assert_eq!(found("db:5432:shop:ann:pw").as_deref(), Some("pw"));
        assert_eq!(found("*:*:*:ann:p\\:w\\\\").as_deref(), Some("p:w\\"));
        assert_eq!(found("db:5433:shop:ann:pw"), None);
        assert_eq!(found("#db:5432:shop:ann:pw"), None);
        assert_eq!(found("db:5432:shop"), None);
        assert_eq!(found(""), None);
    }
}
