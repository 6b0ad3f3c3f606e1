//! libpq's `sslmode`, `sslrootcert` and client certificates.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>

use std::path::PathBuf;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// No TLS, unless the server insists.
    Allow,
    /// TLS, unless the server has or takes none.
    Prefer,
    /// TLS, certificate unchecked unless there is a file of root certificates.
    Require,
    /// TLS, certificate chain checked.
    VerifyCa,
    /// TLS, certificate chain and host name checked.
    VerifyFull,
}

/// The certificates that the server's is checked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// There are none.
    None,
    /// Those of the machine.
    System,
    /// A file in PEM.
    File(PathBuf),
}

/// How a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// libpq's `sslmode`.
    pub mode: TlsMode,
    /// libpq's `sslrootcert`.
    pub roots: Roots,
    /// libpq's `sslcert` and `sslkey`: what this side shows, both in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsMode {
    /// libpq's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        use TlsMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
        let all = [Disable, Allow, Prefer, Require, VerifyCa, VerifyFull];
        all.into_iter().find(|mode| mode.as_str() == text)
    }
}

impl Tls {
    /// Reads the three settings as libpq does; `default_file` gives the path of a file in
    /// `~/.postgresql` when it exists.
    pub(super) fn resolve(
        mode: Option<&str>,
        root_cert: Option<&str>,
        client: (Option<&str>, Option<&str>),
        default_file: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, String> {
        let system = root_cert == Some("system");
        let text = mode.unwrap_or(if system { "verify-full" } else { "prefer" });
        let mode =
            TlsMode::parse(text).ok_or_else(|| format!("`{text}` is not a value of `sslmode`"))?;
        if system && mode != TlsMode::VerifyFull {
            let message = "`sslrootcert` is `system`, which is only for `sslmode: verify-full`";
            return Err(message.to_owned());
        }
        let roots = match root_cert {
            Some("system") => Roots::System,
            Some(path) => Roots::File(path.into()),
            None => default_file("root.crt").map_or(Roots::None, Roots::File),
        };
        let path =
            |text: Option<&str>, name| text.map(PathBuf::from).or_else(|| default_file(name));
        let certificate = path(client.0, "postgresql.crt");
        let key = path(client.1, "postgresql.key");
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(certificate), None) => {
                return Err(format!("`sslcert` is `{}` without `sslkey`", certificate.display()));
            }
            (None, _) => None,
        };
        Ok(Self { mode, roots, client })
    }

    /// The modes to try, one after the other: libpq turns to the second when the first is
    /// refused.
    pub(in crate::pg) fn attempts(&self) -> &'static [TlsMode] {
        use TlsMode::{Disable, Require, VerifyCa, VerifyFull};
        match (self.mode, &self.roots) {
            (TlsMode::Disable, _) => &[Disable],
            (TlsMode::Allow, Roots::None) => &[Disable, Require],
            (TlsMode::Allow, _) => &[Disable, VerifyCa],
            (TlsMode::Prefer, Roots::None) => &[Require, Disable],
            (TlsMode::Prefer, _) => &[VerifyCa, Disable],
            (TlsMode::Require, Roots::None) => &[Require],
            (TlsMode::Require | TlsMode::VerifyCa, _) => &[VerifyCa],
            (TlsMode::VerifyFull, _) => &[VerifyFull],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_roots_are_for_the_strictest_mode_only() {
        let tls = |mode, roots| Tls::resolve(mode, roots, (None, None), |_| None);
        let strict = tls(None, Some("system")).unwrap();
        assert_eq!((strict.mode, strict.roots), (TlsMode::VerifyFull, Roots::System));
        assert!(tls(Some("require"), Some("system")).is_err());
        assert!(tls(Some("sometimes"), None).is_err());
        assert_eq!(tls(None, None).unwrap().mode, TlsMode::Prefer);
    }

    #[test]
    fn files_in_the_home_folder_are_the_defaults() {
        let here = |name: &str| Some(PathBuf::from("/home/ann/.postgresql").join(name));
        let tls = Tls::resolve(Some("require"), None, (None, None), here).unwrap();
        assert_eq!(tls.roots, Roots::File("/home/ann/.postgresql/root.crt".into()));
        assert_eq!(tls.attempts(), [TlsMode::VerifyCa]);
        let (certificate, key) = tls.client.unwrap();
        assert_eq!(certificate.file_name().unwrap(), "postgresql.crt");
        assert_eq!(key.file_name().unwrap(), "postgresql.key");
        let alone = Tls::resolve(None, None, (Some("/a.crt"), None), |_| None);
        assert_eq!(alone.unwrap_err(), "`sslcert` is `/a.crt` without `sslkey`");
    }
}
