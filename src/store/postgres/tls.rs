//! TLS by libpq's `sslmode`.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};
use crate::trust;

/// The `sslmode` of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => TlsMode::Disable,
            "allow" => TlsMode::Allow,
            "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            other => {
                return Err(Error::usage(format!(
                    "sslmode {other:?} is none of libpq's"
                )));
            }
        })
    }
}

/// Returns the settings of `mode`; `roots` is a PEM file, else the system's
/// certificates are trusted.
///
/// # Errors
/// The certificates cannot be read, or there are none (78).
pub fn config(mode: TlsMode, roots: Option<PathBuf>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: &dyn std::fmt::Display| Error::configuration(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .dangerous();
    let schemes = provider.signature_verification_algorithms;
    let chain = match mode {
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let store = Arc::new(root_store(roots)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(store, provider)
                .build()
                .map_err(|error| broken(&error))?;
            Some(verifier)
        }
        _ => None,
    };
    let verifier = Verifier {
        chain,
        name: mode == TlsMode::VerifyFull,
        schemes,
    };
    Ok(builder
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn root_store(file: Option<PathBuf>) -> Result<RootCertStore> {
    let named = file.filter(|file| file.as_os_str() != "system");
    let mut store = RootCertStore::empty();
    if let Some(path) = &named {
        for certificate in trust::read(path)? {
            store
                .add(certificate)
                .map_err(|error| Error::configuration(format!("{}: {error}", path.display())))?;
        }
    } else {
        let (added, _) = store.add_parsable_certificates(trust::authorities()?);
        if added == 0 {
            return Err(Error::configuration(
                "TLS: the system trusts no authority; name a file of certificates by sslrootcert \
                 in the URL, or by PGSSLROOTCERT or SSL_CERT_FILE",
            ));
        }
    }
    Ok(store)
}

/// As in libpq: `prefer` and `require` accept any certificate, `verify-ca`
/// checks its issuer, `verify-full` also its name.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    name: bool,
    schemes: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(certificate, intermediates, server, ocsp, now) {
            // The name is looked at last, so the issuer was fine.
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) if !self.name => {}
            verdict => return verdict,
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        if self.name {
            verify_server_name(&parsed, server)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}
