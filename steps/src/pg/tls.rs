//! TLS as libpq's `sslmode` asks for it, over rustls with ring.

use std::path::Path;
use std::sync::Arc;

use model::step_error::StepError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::environment;
use super::target::{Roots, Tls, TlsMode};

/// How much of the server's certificate is checked.
#[derive(Debug)]
enum Check {
    Nothing,
    Chain(RootCertStore),
}

/// Checks less than rustls does by itself: libpq's `require` and `verify-ca`.
#[derive(Debug)]
struct Lenient {
    check: Check,
    provider: Arc<CryptoProvider>,
}

/// A connector for one mode.
pub(super) fn connector(tls: &Tls, mode: TlsMode) -> Result<MakeRustlsConnect, StepError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let lenient = |check, provider| Arc::new(Lenient { check, provider });
    let config = match mode {
        TlsMode::VerifyFull => {
            let roots = Arc::new(roots(&tls.roots)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            config.with_webpki_verifier(verifier.map_err(|error| no_roots(&error))?)
        }
        TlsMode::VerifyCa => {
            let verifier = lenient(Check::Chain(roots(&tls.roots)?), provider);
            config.dangerous().with_custom_certificate_verifier(verifier)
        }
        TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require => {
            config.dangerous().with_custom_certificate_verifier(lenient(Check::Nothing, provider))
        }
    };
    Ok(MakeRustlsConnect::new(match &tls.client {
        Some((certificate, key)) if mode != TlsMode::Disable => {
            config.with_client_cert_resolver(Arc::new(identity(certificate, key)?))
        }
        _ => config.with_no_client_auth(),
    }))
}

const ROOTS_HINT: &str = "set `sslrootcert` to a file of certificates, or to `system` for those of \
    the machine";

fn no_roots(error: &(dyn std::error::Error + 'static)) -> StepError {
    StepError::needs_operator("RB0512", "there are no root certificates to check the server by")
        .caused_by(error)
        .hint(ROOTS_HINT)
}

fn no_identity(error: &(dyn std::error::Error + 'static)) -> StepError {
    StepError::needs_operator("RB0512", "the client certificate cannot be used")
        .caused_by(error)
        .hint("`sslcert` and `sslkey` are files in PEM that belong together; a key with a passphrase is not supported")
}

fn roots(from: &Roots) -> Result<RootCertStore, StepError> {
    let mut roots = RootCertStore::empty();
    match from {
        Roots::File(path) => {
            let certificates = CertificateDer::pem_file_iter(path);
            for certificate in certificates.map_err(|error| no_roots(&error))? {
                let certificate = certificate.map_err(|error| no_roots(&error))?;
                roots.add(certificate).map_err(|error| no_roots(&error))?;
            }
        }
        Roots::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::None => {
            let message = "there are no root certificates to check the server by";
            return Err(StepError::needs_operator("RB0512", message).hint(ROOTS_HINT));
        }
    }
    Ok(roots)
}

/// What this side shows. As libpq, a key that others may read is refused, and certificates of
/// version 1, which `openssl x509 -req` makes, are taken.
fn identity(certificate: &Path, key: &Path) -> Result<SingleCertAndKey, StepError> {
    if environment::is_open_to_others(key) {
        let message = format!("others may read the private key `{}`", key.display());
        return Err(StepError::needs_operator("RB0512", message)
            .hint(format!("chmod 0600 {}", key.display())));
    }
    let chain = CertificateDer::pem_file_iter(certificate);
    let chain = chain.and_then(Iterator::collect).map_err(|error| no_identity(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| no_identity(&error))?;
    let key = ring::sign::any_supported_type(&key).map_err(|error| no_identity(&error))?;
    let shown = CertifiedKey::new(chain, key);
    match shown.keys_match() {
        Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(no_identity(&error))
        }
        _ => Ok(shown.into()),
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Check::Chain(roots) = &self.check {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
