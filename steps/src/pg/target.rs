//! A connection's settings with every part known: what libpq would resolve, resolved here.
//! <https://www.postgresql.org/docs/current/libpq-connect.html>

use std::path::{Path, PathBuf};

use engine::settings::ConnectionSettings;
use model::step_error::StepError;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::environment;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS when the server offers it, certificate unchecked. Also `allow`.
    Prefer,
    /// TLS, certificate unchecked unless a root certificate is given.
    Require,
    /// TLS, certificate chain checked.
    VerifyCa,
    /// TLS, certificate chain and host name checked.
    VerifyFull,
}

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The connection's name in the runbook.
    pub name: String,
    /// Host name, address, or the folder of a unix socket (starts with `/`).
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub dbname: String,
    /// Role.
    pub user: String,
    /// Password.
    pub password: Option<SecretString>,
    /// TLS.
    pub tls: TlsMode,
    /// A file of root certificates in PEM; otherwise the system's.
    pub root_cert: Option<PathBuf>,
    /// The `options` of the URL, handed to the server.
    pub options: Option<String>,
    /// The connection is not scratch.
    pub protected: bool,
}

/// The parts that were written, before defaults.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    dbname: Option<String>,
    user: Option<String>,
    password: Option<SecretString>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    options: Option<String>,
}

const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl Target {
    /// Fills what the settings leave out as libpq does: environment variables, the password
    /// file, then its built-in defaults.
    pub fn resolve(settings: &ConnectionSettings) -> Result<Self, StepError> {
        let parts = Parts::of(settings)?;
        let or = |part: Option<String>, name| part.or_else(|| environment::variable(name));
        let host = or(parts.host, "PGHOST").unwrap_or_else(default_host);
        let port = or(parts.port, "PGPORT").unwrap_or_else(|| "5432".to_owned());
        let port = port
            .parse()
            .map_err(|_| invalid(settings, &format!("the port `{port}` is not a port number")))?;
        let user = or(parts.user, "PGUSER").unwrap_or_else(environment::account);
        let dbname = or(parts.dbname, "PGDATABASE").unwrap_or_else(|| user.clone());
        let mode = or(parts.sslmode, "PGSSLMODE").unwrap_or_else(|| "prefer".to_owned());
        let tls = TlsMode::parse(&mode)
            .ok_or_else(|| invalid(settings, &format!("`{mode}` is not a value of `sslmode`")))?;
        let root_cert = or(parts.sslrootcert, "PGSSLROOTCERT").filter(|path| path != "system");
        let password = parts
            .password
            .or_else(|| environment::variable("PGPASSWORD").map(SecretString::from))
            .or_else(|| environment::password(&host, port, &dbname, &user));
        Ok(Self {
            name: settings.name.clone(),
            host,
            port,
            dbname,
            user,
            password,
            tls,
            root_cert: root_cert.map(PathBuf::from),
            options: parts.options,
            protected: settings.protected,
        })
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

fn default_host() -> String {
    let exists = |folder: &&&str| Path::new(folder).join(".s.PGSQL.5432").exists();
    let folder = DEFAULT_SOCKETS.iter().find(exists).unwrap_or(&DEFAULT_SOCKETS[0]);
    (*folder).to_owned()
}

impl TlsMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// libpq's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl Parts {
    fn of(settings: &ConnectionSettings) -> Result<Self, StepError> {
        let mut parts = match &settings.url {
            Some(url) => {
                Self::of_url(url.expose_secret()).map_err(|why| invalid(settings, &why))?
            }
            None => Self::default(),
        };
        let over = |part: &mut Option<String>, value: &Option<String>| {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                *part = Some(value.clone());
            }
        };
        over(&mut parts.host, &settings.host);
        over(&mut parts.port, &settings.port);
        over(&mut parts.dbname, &settings.dbname);
        over(&mut parts.user, &settings.user);
        over(&mut parts.sslmode, &settings.sslmode);
        parts.password = settings.password.clone().or(parts.password);
        Ok(parts)
    }

    /// The message never repeats the URL: it may hold a password.
    fn of_url(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("its `url` does not read: {error}"))?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            return Err("its `url` does not start with `postgresql://`".to_owned());
        }
        let decoded = |text: &str| decode(text).filter(|text| !text.is_empty());
        let mut parts = Self {
            host: url.host_str().map(|host| host.trim_matches(['[', ']'])).and_then(decoded),
            port: url.port().map(|port| port.to_string()),
            dbname: decoded(url.path().trim_start_matches('/')),
            user: decoded(url.username()),
            password: url.password().and_then(decoded).map(SecretString::from),
            ..Self::default()
        };
        for (key, value) in url.query_pairs() {
            parts.set(&key, value.into_owned())?;
        }
        if parts.host.as_ref().is_some_and(|host| host.contains(',')) {
            return Err("several hosts in one connection are not supported".to_owned());
        }
        Ok(parts)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let part = match key {
            "host" | "hostaddr" => &mut self.host,
            "port" => &mut self.port,
            "dbname" => &mut self.dbname,
            "user" => &mut self.user,
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            "options" => &mut self.options,
            "password" => {
                self.password = Some(value.into());
                return Ok(());
            }
            "application_name" | "connect_timeout" | "fallback_application_name" => return Ok(()),
            other => {
                return Err(format!(
                    "its `url` has the parameter `{other}`, which is not supported"
                ));
            }
        };
        *part = Some(value);
        Ok(())
    }
}

/// Percent-decodes; nothing when the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |index: usize| tail.get(index).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits"));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn invalid(settings: &ConnectionSettings, why: &str) -> StepError {
    let message = format!("connection `{}` cannot be used: {why}", settings.name);
    StepError::permanent("RB0500", message)
        .hint("write it as `postgresql://user@host:5432/database?sslmode=verify-full`")
}

#[cfg(test)]
mod tests {
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
        assert_eq!(target.tls, TlsMode::VerifyFull);
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
    fn an_unknown_parameter_is_refused_without_the_url() {
        for text in [
            "postgresql://a:canary@db/shop?servicefile=x",
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
