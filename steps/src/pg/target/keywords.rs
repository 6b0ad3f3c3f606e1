//! libpq's connection keywords, from wherever they were given.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>

use std::collections::BTreeMap;

use engine::settings::ConnectionSettings;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Keywords that count, with the environment variable that stands in for each.
const KNOWN: [(&str, &str); 16] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("options", "PGOPTIONS"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
];

/// Keywords that a connection of ours does without: it has a name of its own, pins its encoding
/// and probes idle connections anyway.
const WITHOUT: [&str; 11] = [
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
];

/// Keywords that guard a connection: leaving one out would weaken it.
const GUARDS: [(&str, &str); 7] = [
    ("requirepeer", "PGREQUIREPEER"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("require_auth", "PGREQUIREAUTH"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("gssencmode", "PGGSSENCMODE"),
];

/// Stands for a host that a URL leaves out behind a role.
const NO_HOST: &str = "no-host.invalid";

/// Values by keyword. What was given first counts.
#[derive(Default)]
pub(super) struct Keywords(BTreeMap<&'static str, SecretString>);

impl Keywords {
    /// Those of a runbook: its parts win over those of its URL.
    pub(super) fn written(settings: &ConnectionSettings) -> Result<Self, String> {
        let mut all = Self::default();
        let parts = [
            ("host", &settings.host),
            ("port", &settings.port),
            ("dbname", &settings.dbname),
            ("user", &settings.user),
            ("service", &settings.service),
            ("sslmode", &settings.sslmode),
            ("sslrootcert", &settings.sslrootcert),
            ("sslcert", &settings.sslcert),
            ("sslkey", &settings.sslkey),
        ];
        for (keyword, value) in parts {
            if let Some(value) = value {
                all.give(keyword, value.clone().into())?;
            }
        }
        if let Some(password) = &settings.password {
            all.give("password", password.clone())?;
        }
        if let Some(url) = &settings.url {
            all.give_url(url.expose_secret())?;
        }
        Ok(all)
    }

    /// Adds those of the environment.
    pub(super) fn give_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        for (keyword, name) in KNOWN {
            if let Some(value) = variable(name) {
                self.give(keyword, value.into())?;
            }
        }
        for (keyword, name) in GUARDS {
            if let Some(value) = variable(name) {
                self.give(keyword, value.into()).map_err(|why| format!("{why} (from `{name}`)"))?;
            }
        }
        Ok(())
    }

    /// Adds one, unless it was given before. An empty value is none.
    pub(super) fn give(&mut self, keyword: &str, value: SecretString) -> Result<(), String> {
        let weak_gss =
            keyword == "gssencmode" && matches!(value.expose_secret(), "disable" | "prefer");
        if WITHOUT.contains(&keyword) || weak_gss {
            return Ok(());
        }
        let known = KNOWN.iter().find(|(known, _)| *known == keyword);
        let (known, _) =
            known.ok_or_else(|| format!("the parameter `{keyword}` is not supported"))?;
        if !value.expose_secret().is_empty() {
            self.0.entry(known).or_insert(value);
        }
        Ok(())
    }

    /// Takes one out.
    pub(super) fn take(&mut self, keyword: &str) -> Option<SecretString> {
        self.0.remove(keyword)
    }

    /// Takes one out that is no secret.
    pub(super) fn text(&mut self, keyword: &str) -> Option<String> {
        self.take(keyword).map(|value| value.expose_secret().to_owned())
    }

    /// No message repeats the URL: it may hold a password.
    fn give_url(&mut self, text: &str) -> Result<(), String> {
        // `postgresql://ann@/shop?host=/run/pg` is one for libpq, though not for the standard.
        let whole = text.replacen("@/", &format!("@{NO_HOST}/"), 1);
        let url =
            Url::parse(&whole).map_err(|error| format!("its `url` does not read: {error}"))?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            return Err("its `url` does not start with `postgresql://`".to_owned());
        }
        // As in libpq, the parameters win over what stands before them.
        for (keyword, value) in url.query_pairs() {
            let keyword = if keyword == "ssl" { "sslmode" } else { &*keyword };
            let value = if value == "true" && keyword == "sslmode" { "require" } else { &*value };
            let given = self.give(keyword, value.to_owned().into());
            given.map_err(|why| format!("its `url` does not read: {why}"))?;
        }
        let host = url
            .host_str()
            .filter(|host| *host != NO_HOST)
            .map(|host| host.trim_matches(['[', ']']));
        let port = url.port().map(|port| port.to_string());
        let parts = [
            ("host", host),
            ("port", port.as_deref()),
            ("dbname", Some(url.path().trim_start_matches('/'))),
            ("user", Some(url.username())),
            ("password", url.password()),
        ];
        for (keyword, value) in parts {
            let decoded = percent_decode_str(value.unwrap_or_default()).decode_utf8();
            let value = decoded.map_err(|_| format!("the {keyword} in its `url` is not UTF-8"))?;
            self.give(keyword, value.into_owned().into())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_refused_wherever_it_comes_from() {
        let refused = Keywords::default().give("requirepeer", "postgres".into());
        assert_eq!(refused.unwrap_err(), "the parameter `requirepeer` is not supported");
        let set = |name: &str| (name == "PGSSLCRL").then(|| "/crl.pem".to_owned());
        let refused = Keywords::default().give_environment(set);
        assert!(refused.unwrap_err().contains("`PGSSLCRL`"));
        for gss in ["disable", "prefer"] {
            Keywords::default().give("gssencmode", gss.into()).unwrap();
        }
        assert!(Keywords::default().give("gssencmode", "require".into()).is_err());
    }

    #[test]
    fn what_was_given_first_counts() {
        let mut all = Keywords::default();
        all.give("port", "6000".into()).unwrap();
        all.give("port", "6001".into()).unwrap();
        all.give("user", "".into()).unwrap();
        assert_eq!(all.text("port").as_deref(), Some("6000"));
        assert_eq!(all.text("user"), None);
    }
}
