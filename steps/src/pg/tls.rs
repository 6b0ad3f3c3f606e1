//! TLS as libpq's `sslmode` asks for it, over rustls with ring.

use std::path::Path;
use std::sync::Arc;

use model::step_error::StepError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::{Target, TlsMode};

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

/// A connector for the target's mode.
pub(super) fn connector(target: &Target) -> Result<MakeRustlsConnect, StepError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let root_cert = target.root_cert.as_deref();
    let lenient = |check, provider| Arc::new(Lenient { check, provider });
    let config = match target.tls {
        TlsMode::VerifyFull => {
            let roots = Arc::new(roots(root_cert)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            config.with_webpki_verifier(verifier.map_err(|error| no_roots(&error))?)
        }
        TlsMode::VerifyCa => {
            let verifier = lenient(Check::Chain(roots(root_cert)?), provider);
            config.dangerous().with_custom_certificate_verifier(verifier)
        }
        // As libpq: a root certificate turns `require` into `verify-ca`.
        TlsMode::Require if root_cert.is_some() => {
            let verifier = lenient(Check::Chain(roots(root_cert)?), provider);
            config.dangerous().with_custom_certificate_verifier(verifier)
        }
        TlsMode::Require | TlsMode::Prefer | TlsMode::Disable => {
            config.dangerous().with_custom_certificate_verifier(lenient(Check::Nothing, provider))
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn no_roots(error: &(dyn std::error::Error + 'static)) -> StepError {
    StepError::needs_operator("RB0512", "there are no root certificates to check the server by")
        .caused_by(error)
        .hint("set `sslrootcert` in the connection's `url`, or install the system's certificates")
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, StepError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path);
            for certificate in certificates.map_err(|error| no_roots(&error))? {
                let certificate = certificate.map_err(|error| no_roots(&error))?;
                roots.add(certificate).map_err(|error| no_roots(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
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
