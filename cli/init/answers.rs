//! What a person wants backed up, from flags and, on a terminal, from answers.

use std::path::Path;

use crate::cli::Init;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::init::ask::Asks;

/// Everything that a daily backup needs to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) database: Database,
    /// The variable that holds the URL of another server for scratch databases.
    pub(crate) scratch_url_env: Option<String>,
    /// URL of the store.
    pub(crate) store: String,
    /// Hour of the daily run, UTC.
    pub(crate) hour: u8,
    pub(crate) slack: bool,
}

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// By the URL in an environment variable.
    Url { env: String },
    /// By its parts; what is absent is libpq's default.
    Parts { host: Option<String>, port: Option<u16>, dbname: String, user: Option<String> },
}

/// The variables that libpq and most frameworks know.
const URL: &str = "DATABASE_URL";

pub(crate) fn gather(args: &Init, asks: &mut Asks) -> Result<Answers, Failure> {
    let database = database(args, asks)?;
    let scratch = args.scratch_url_env.as_deref();
    Ok(Answers {
        database,
        scratch_url_env: scratch.map(|name| variable_name(name).map(str::to_owned)).transpose()?,
        store: store_url(&store(args, asks))?,
        hour: hour(args, asks)?,
        slack: args.slack || asks.yes_or_no("tell a Slack channel (SLACK_WEBHOOK_URL)?"),
    })
}

fn database(args: &Init, asks: &mut Asks) -> Result<Database, Failure> {
    if let Some(name) = &args.database_url_env {
        return Ok(Database::Url { env: variable_name(name)?.to_owned() });
    }
    let by_parts = args.host.is_some() || args.dbname.is_some() || args.user.is_some();
    let known = engine::environment::variable(URL).map(|_| URL.to_owned());
    let question = "environment variable with the URL of the database, or `-` for its parts";
    let asked = |asks: &mut Asks| asks.text(question, Some(known.as_deref().unwrap_or("-")));
    let name = if by_parts { None } else { asked(asks).or_else(|| known.clone()) };
    match name.filter(|name| name != "-") {
        Some(name) => Ok(Database::Url { env: variable_name(&name)?.to_owned() }),
        None => parts(args, asks),
    }
}

fn parts(args: &Init, asks: &mut Asks) -> Result<Database, Failure> {
    let or = |given: &Option<String>, asks: &mut Asks, question, variable: &str| {
        let known = engine::environment::variable(variable);
        given.clone().or_else(|| asks.text(question, known.as_deref()))
    };
    let host = or(&args.host, asks, "host, or the folder of its unix socket", "PGHOST");
    let port = or(&args.port.map(|port| port.to_string()), asks, "port", "PGPORT");
    let dbname = or(&args.dbname, asks, "name of the database", "PGDATABASE");
    let dbname = dbname.or_else(|| engine::environment::variable("PGDATABASE"));
    let user = or(&args.user, asks, "role to log in as", "PGUSER");
    let port = port.map(|text| {
        let refused =
            |_| refused(format!("`{text}` is not a port")).help("a port is from 1 to 65535");
        text.parse::<u16>().map_err(refused)
    });
    let Some(dbname) = dbname else {
        let message = "which database is to be backed up is not said";
        let help = "give `--database-url-env NAME`, or `--host HOST --dbname NAME --user ROLE`";
        return Err(Failure::new(Exit::Invalid, "RB0960", message).help(help));
    };
    for text in [&host, &user].into_iter().flatten().chain([&dbname]) {
        plain(text)?;
    }
    Ok(Database::Parts { host, port: port.transpose()?, dbname, user })
}

/// Refuses what a runbook would read as a template.
fn plain(text: &str) -> Result<(), Failure> {
    if text.contains("{{") || text.contains("{%") {
        let why = "the braces would be read as a template";
        return Err(refused(format!("`{text}` cannot be written into a runbook")).why(why));
    }
    Ok(())
}

fn store(args: &Init, asks: &mut Asks) -> String {
    let home = engine::environment::variable("HOME").unwrap_or_else(|| "/var".to_owned());
    let default = format!("{}/backups", home.trim_end_matches('/'));
    let given = args.store.clone();
    given.or_else(|| asks.text("folder of the store", Some(&default))).unwrap_or(default)
}

/// The URL of a store that a person named as a URL or as a folder.
fn store_url(text: &str) -> Result<String, Failure> {
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        let path = std::path::absolute(Path::new(text));
        let path = path.map_err(|error| refused(format!("`{text}` is no folder")).why(error))?;
        format!("file://{}", escaped(&path.to_string_lossy()))
    };
    plain(&url)?;
    Ok(url)
}

/// A path as it stands in a URL.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let one =
        |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(one).collect()
}

fn hour(args: &Init, asks: &mut Asks) -> Result<u8, Failure> {
    const DEFAULT: &str = "2";
    if let Some(hour) = args.hour {
        return Ok(hour);
    }
    let text = asks.text("hour of the daily run, UTC", Some(DEFAULT));
    let text = text.as_deref().unwrap_or(DEFAULT);
    let hour = text.parse::<u8>().ok().filter(|hour| *hour < 24);
    hour.ok_or_else(|| refused(format!("`{text}` is not an hour")).help("an hour is from 0 to 23"))
}

fn variable_name(name: &str) -> Result<&str, Failure> {
    let fits =
        |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    if !name.is_empty() && name.chars().enumerate().all(|(at, c)| fits(at, c)) {
        return Ok(name);
    }
    // Not repeated: it may be the URL itself, with a password in it.
    Err(refused("that is not the name of an environment variable")
        .help("put the URL into a variable, such as `DATABASE_URL`, and give the variable's name"))
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Invalid, "RB0962", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_url() {
        assert_eq!(store_url("/var/my backups/ü").unwrap(), "file:///var/my%20backups/%C3%BC");
        assert_eq!(store_url("file:///b").unwrap(), "file:///b");
        assert!(store_url("b").unwrap().starts_with("file:///"));
        assert_eq!(store_url("s3://{{ x }}").unwrap_err().code, "RB0962");
    }

    #[test]
    fn a_url_in_place_of_its_variable_is_refused_and_not_repeated() {
        assert_eq!(variable_name("DATABASE_URL").unwrap(), "DATABASE_URL");
        for text in ["postgresql://a:canary@db/x", "", "9A", "A B"] {
            let failure = variable_name(text).unwrap_err();
            assert!(!failure.text(false).contains("canary"), "{failure:?}");
        }
    }
}
