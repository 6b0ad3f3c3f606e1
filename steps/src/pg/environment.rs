//! libpq's environment variables and password file, for the parts a connection leaves out.
//! <https://www.postgresql.org/docs/current/libpq-envars.html>,
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>
#![expect(
    clippy::disallowed_methods,
    reason = "the home of libpq's defaults: variables and the password file"
)]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

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

/// The password of the first line of the password file that matches. As in libpq, a file that
/// others may read is ignored.
pub(super) fn password(host: &str, port: u16, dbname: &str, user: &str) -> Option<SecretString> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".pgpass"));
    let path = variable("PGPASSFILE").map(PathBuf::from).or_else(home)?;
    let metadata = std::fs::metadata(&path).ok()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return None;
    }
    let host = if host.starts_with('/') { "localhost" } else { host };
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
