//! TLS by libpq's `sslmode`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::connect::variable;
use super::parameters::Parameters;
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
                return Err(Error::usage(format!("unknown sslmode {other:?}")));
            }
        })
    }
}

/// The files that TLS uses.
#[derive(Debug, Default)]
pub struct TlsFiles {
    /// The authorities to trust; `system` means those of the system.
    roots: Option<PathBuf>,
    /// The client's certificate.
    certificate: Option<PathBuf>,
    /// The certificate's key.
    key: Option<PathBuf>,
}

impl TlsFiles {
    /// Takes the files that are named, or those of `~/.postgresql` that are there.
    pub fn take(parameters: &mut Parameters) -> Self {
        let folder = variable("HOME").map(|home| PathBuf::from(home).join(".postgresql"));
        let mut file = |parameter: &str, name: &str| {
            let named = parameters.take(parameter).map(PathBuf::from);
            let own = || Some(folder.as_ref()?.join(name)).filter(|path| path.exists());
            named.or_else(own)
        };
        Self {
            roots: file("sslrootcert", "root.crt"),
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
        }
    }

    fn are_system(&self) -> bool {
        self.roots
            .as_deref()
            .is_some_and(|roots| roots.as_os_str() == "system")
    }

    /// Returns the mode, which authorities to trust make stricter, as in libpq.
    ///
    /// # Errors
    /// The system's authorities with `disable` or `allow` (2).
    pub fn mode(&self, mode: Option<TlsMode>) -> Result<TlsMode> {
        Ok(match mode {
            Some(TlsMode::Disable | TlsMode::Allow) if self.are_system() => {
                return Err(Error::usage(
                    "sslrootcert=system needs sslmode=verify-full: a weaker mode checks nothing",
                ));
            }
            None | Some(TlsMode::Prefer | TlsMode::Require) if self.are_system() => {
                TlsMode::VerifyFull
            }
            Some(TlsMode::Require) if self.roots.is_some() => TlsMode::VerifyCa,
            mode => mode.unwrap_or(TlsMode::Prefer),
        })
    }
}

/// Returns the settings of `mode`; if no authorities are named, the system's are trusted.
///
/// # Errors
/// The certificates cannot be read, or there are none (78).
pub fn config(mode: TlsMode, files: TlsFiles) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: &dyn std::fmt::Display| Error::configuration(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .dangerous();
    let schemes = provider.signature_verification_algorithms;
    let (mut chain, mut own) = (None, Vec::new());
    if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        let roots = files.roots.as_deref().filter(|_| !files.are_system());
        own = roots.map_or(Ok(Vec::new()), trust::read)?;
        let store = Arc::new(root_store(roots, &own)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(store, provider).build();
        chain = Some(verifier.map_err(|error| broken(&error))?);
    }
    let verifier = Verifier {
        chain,
        own,
        name: mode == TlsMode::VerifyFull,
        schemes,
    };
    let builder = builder.with_custom_certificate_verifier(Arc::new(verifier));
    let Some(certificate) = files.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let key = files.key.ok_or_else(|| {
        Error::usage(format!(
            "cannot use the certificate {}: its key is missing; name it by sslkey",
            certificate.display()
        ))
    })?;
    let place =
        |error: &dyn std::fmt::Display| Error::configuration(format!("{}: {error}", key.display()));
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| place(&error))?;
    let configured = builder.with_client_auth_cert(trust::read(&certificate)?, private);
    configured.map_err(|error| place(&error))
}

/// Returns the authorities of the file `roots`, else those of the system.
fn root_store(roots: Option<&Path>, own: &[CertificateDer<'static>]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(path) = roots else {
        let (added, _) = store.add_parsable_certificates(trust::authorities()?);
        return if added > 0 {
            Ok(store)
        } else {
            Err(Error::configuration(
                "TLS: the system trusts no authority; name a file of certificates with \
                 sslrootcert in the URL, or with PGSSLROOTCERT or SSL_CERT_FILE",
            ))
        };
    };
    for certificate in own {
        let added = store.add(certificate.clone());
        added.map_err(|error| Error::configuration(format!("{}: {error}", path.display())))?;
    }
    Ok(store)
}

/// As in libpq: `prefer` and `require` accept any certificate, `verify-ca`
/// checks its issuer, `verify-full` also its name.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the file of authorities.
    own: Vec<CertificateDer<'static>>,
    name: bool,
    schemes: rustls::crypto::WebPkiSupportedAlgorithms,
}

/// Returns whether a certificate was refused only because it is an authority's, and no server's.
fn is_authority(fault: &CertificateError) -> bool {
    // webpki looks at the dates before this.
    matches!(fault, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
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
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(certificate, intermediates, server, ocsp, now) {
            // The name is looked at last, so the issuer was fine.
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) if !self.name => {}
            // Self-signed, and its own authority: only its name is not checked yet.
            Err(rustls::Error::InvalidCertificate(fault))
                if is_authority(&fault) && self.own.contains(certificate) => {}
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
