//! A connection's settings with every part known: what libpq would resolve, resolved here.
//! <https://www.postgresql.org/docs/current/libpq-connect.html>

mod keywords;
mod service;
mod tls_mode;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use engine::settings::ConnectionSettings;
use model::step_error::StepError;
use secrecy::SecretString;

use self::keywords::Keywords;
pub use self::tls_mode::{Roots, Tls, TlsMode};
use super::environment;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The connection's name in the runbook.
    pub name: String,
    /// Host name, address, or the folder of a unix socket (starts with `/`).
    pub host: String,
    /// The address behind `host`, when it is not to be looked up.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// Database.
    pub dbname: String,
    /// Role.
    pub user: String,
    /// Password.
    pub password: Option<SecretString>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// `channel_binding=require`: a password counts only over a channel it is bound to.
    pub bound_to_channel: bool,
    /// How long the server may take to accept a connection; for ever when absent.
    pub connect_timeout: Option<Duration>,
    /// Settings handed to the server.
    pub options: Option<String>,
    /// The container in which the server runs.
    pub container: Option<String>,
    /// The connection is not scratch.
    pub protected: bool,
}

const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// How long a server may take to accept a connection when nothing says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

impl Target {
    /// Fills what the settings leave out as libpq does: the service file, environment variables,
    /// the password file, then its built-in defaults.
    pub fn resolve(settings: &ConnectionSettings) -> Result<Self, StepError> {
        resolve(settings).map_err(|why| invalid(&settings.name, &why))
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn database(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), ..self.clone() }
    }

    /// `db.internal:5432`, or `/var/run/postgresql:5432`.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it goes through a unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

fn resolve(settings: &ConnectionSettings) -> Result<Target, String> {
    let mut given = given(settings)?;
    let address = given.text("hostaddr").map(|text| {
        text.parse::<IpAddr>().map_err(|_| format!("`{text}` is not an address (`hostaddr`)"))
    });
    let address = address.transpose()?;
    let host = given.text("host").or_else(|| Some(address?.to_string()));
    let host = host.unwrap_or_else(default_host);
    if host.contains(',') {
        return Err("several hosts in one connection are not supported".to_owned());
    }
    let port = given.text("port").unwrap_or_else(|| "5432".to_owned());
    let port = port.parse().map_err(|_| format!("the port `{port}` is not a port number"))?;
    let user = given.text("user").unwrap_or_else(environment::account);
    let dbname = given.text("dbname").unwrap_or_else(|| user.clone());
    let passfile = given.text("passfile");
    let password = given.take("password").or_else(|| {
        environment::password(passfile.as_deref(), host_key(&host), port, &dbname, &user)
    });
    Ok(Target {
        name: settings.name.clone(),
        address,
        port,
        dbname,
        user,
        password,
        tls: tls(&mut given)?,
        bound_to_channel: given.text("channel_binding").as_deref() == Some("require"),
        connect_timeout: connect_timeout(given.text("connect_timeout"))?,
        options: given.text("options"),
        container: settings.docker.clone(),
        protected: settings.protected,
        host,
    })
}

/// What the runbook, the service file and the environment say, in this order.
fn given(settings: &ConnectionSettings) -> Result<Keywords, String> {
    let mut given = Keywords::written(settings)?;
    let or = |value: Option<String>, name| value.or_else(|| environment::variable(name));
    let file = or(given.text("servicefile"), "PGSERVICEFILE");
    if let Some(service) = or(given.text("service"), "PGSERVICE") {
        service::give(&service, &environment::service_files(file), &mut given)?;
    }
    given.give_environment(environment::variable)?;
    Ok(given)
}

fn tls(given: &mut Keywords) -> Result<Tls, String> {
    let mut text = |keyword| given.text(keyword);
    let (mode, roots) = (text("sslmode"), text("sslrootcert"));
    let (certificate, key) = (text("sslcert"), text("sslkey"));
    let client = (certificate.as_deref(), key.as_deref());
    Tls::resolve(mode.as_deref(), roots.as_deref(), client, environment::default_file)
}

/// Seconds; less than two is two, zero and below is for ever.
fn connect_timeout(text: Option<String>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(Some(CONNECT_TIMEOUT)) };
    let seconds: i32 = text
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a number of seconds (`connect_timeout`)"))?;
    Ok(u64::try_from(seconds.max(0)).ok().filter(|s| *s > 0).map(|s| Duration::from_secs(s.max(2))))
}

fn default_host() -> String {
    let exists = |folder: &&&str| Path::new(folder).join(".s.PGSQL.5432").exists();
    let folder = DEFAULT_SOCKETS.iter().find(exists).unwrap_or(&DEFAULT_SOCKETS[0]);
    (*folder).to_owned()
}

/// What a password file calls the host.
fn host_key(host: &str) -> &str {
    if DEFAULT_SOCKETS.contains(&host) { "localhost" } else { host }
}

fn invalid(name: &str, why: &str) -> StepError {
    let message = format!("connection `{name}` cannot be used: {why}");
    StepError::permanent("RB0500", message)
        .hint("write it as `postgresql://user@host:5432/database?sslmode=verify-full`")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn url(text: &str) -> ConnectionSettings {
        ConnectionSettings {
            name: "prod".to_owned(),
            url: Some(text.into()),
            ..ConnectionSettings::default()
        }
    }

    #[test]
    fn a_url_gives_every_part() {
        let target = Target::resolve(&url(
            "postgresql://an%40n:p%3Aw@db:6000/my%20shop?sslmode=verify-full",
        ))
        .unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.user.as_str(), target.dbname.as_str()),
            ("db", 6000, "an@n", "my shop")
        );
        assert_eq!(target.password.unwrap().expose_secret(), "p:w");
        assert_eq!(target.tls.mode, TlsMode::VerifyFull);
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        let by_query = Target::resolve(&url("postgresql:///shop?host=/run/pg&port=6001")).unwrap();
        let by_host = Target::resolve(&url("postgresql://%2Frun%2Fpg:6001/shop")).unwrap();
        for target in [by_query, by_host] {
            assert!(target.is_socket());
            assert_eq!(target.endpoint(), "/run/pg:6001");
            assert_eq!(target.dbname, "shop");
        }
    }

    #[test]
    fn parts_win_over_the_url() {
        let settings = ConnectionSettings {
            dbname: Some("other".to_owned()),
            ..url("postgresql://a@db/shop")
        };
        assert_eq!(Target::resolve(&settings).unwrap().dbname, "other");
    }

    #[test]
    fn an_address_stands_in_for_a_host() {
        let target = Target::resolve(&url("postgresql:///shop?hostaddr=127.0.0.2")).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("127.0.0.2", 5432));
        let both = Target::resolve(&url("postgresql://db/shop?hostaddr=127.0.0.2")).unwrap();
        assert_eq!(both.host, "db");
        assert_eq!(both.address.unwrap().to_string(), "127.0.0.2");
    }

    #[test]
    fn a_connection_may_wait_for_ever_but_not_one_second() {
        let wait = |text: &str| connect_timeout(Some(text.to_owned())).unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((wait("0"), wait("-1")), (None, None));
        assert_eq!((wait("1"), wait("30")), (seconds(2), seconds(30)));
        assert_eq!(connect_timeout(None).unwrap(), seconds(15));
        assert!(connect_timeout(Some("soon".to_owned())).is_err());
    }

    #[test]
    fn an_unknown_parameter_is_refused_without_the_url() {
        for text in [
            "postgresql://a:canary@db/shop?sslcrl=x",
            "mysql://a:canary@db/shop",
            "canary",
            "postgresql://a:canary@db/shop?port=x",
            "postgresql://a:canary@db/shop?sslmode=sometimes",
        ] {
            let error = Target::resolve(&url(text)).unwrap_err();
            assert_eq!(error.code, "RB0500", "{text}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
