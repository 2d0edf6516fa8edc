//! TLS by libpq's `sslmode`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use super::parameters::Parameters;
use crate::environment::variable;
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

/// The files that TLS uses, and its versions.
#[derive(Debug, Default)]
pub struct TlsSettings {
    /// The authorities to trust; `system` means those of the system.
    roots: Option<PathBuf>,
    /// The certificates that the authorities have revoked: a file, and a folder of files.
    revoked: Option<PathBuf>,
    all_revoked: Option<PathBuf>,
    /// The client's certificate.
    certificate: Option<PathBuf>,
    /// The certificate's key.
    key: Option<PathBuf>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Whether the host's name is not sent before the connection is encrypted.
    hides_name: bool,
}

impl TlsSettings {
    /// Takes the files that are named, or those of `~/.postgresql` that are there.
    ///
    /// # Errors
    /// A version of TLS that is not known (2), or versions that are not supported (78).
    pub fn take(parameters: &mut Parameters) -> Result<Self> {
        let folder = variable("HOME").map(|home| PathBuf::from(home).join(".postgresql"));
        let mut file = |parameter: &str, name: &str| {
            let named = parameters.take(parameter).map(PathBuf::from);
            let own = || Some(folder.as_ref()?.join(name)).filter(|path| path.exists());
            named.or_else(own)
        };
        let mut settings = Self {
            roots: file("sslrootcert", "root.crt"),
            revoked: file("sslcrl", "root.crl"),
            all_revoked: None,
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
            versions: versions(parameters)?,
            hides_name: parameters.take("sslsni").is_some_and(|value| value == "0"),
        };
        settings.all_revoked = parameters.take("sslcrldir").map(PathBuf::from);
        if parameters.get("sslcertmode") == Some("disable") {
            parameters.take("sslcertmode");
            settings.certificate = None;
        }
        Ok(settings)
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
            None | Some(TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa)
                if self.are_system() =>
            {
                TlsMode::VerifyFull
            }
            // Public authorities sign for everybody, so that only the name tells who it is.
            Some(TlsMode::VerifyCa) if self.roots.is_none() => TlsMode::VerifyFull,
            Some(TlsMode::Require) if self.roots.is_some() => TlsMode::VerifyCa,
            mode => mode.unwrap_or(TlsMode::Prefer),
        })
    }
}

/// Returns the settings of `mode`; if no authorities are named, the system's are trusted.
///
/// # Errors
/// The certificates cannot be read, or there are none (78).
pub fn config(mode: TlsMode, settings: TlsSettings) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: &dyn std::fmt::Display| Error::configuration(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&settings.versions)
        .map_err(|error| broken(&error))?
        .dangerous();
    let schemes = provider.signature_verification_algorithms;
    let (mut chain, mut own) = (None, Vec::new());
    if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        let roots = settings.roots.as_deref().filter(|_| !settings.are_system());
        own = roots.map_or(Ok(Vec::new()), trust::read)?;
        let store = Arc::new(root_store(roots, &own)?);
        let mut verifier = WebPkiServerVerifier::builder_with_provider(store, provider);
        let mut lists = Vec::new();
        for path in settings
            .revoked
            .iter()
            .chain(&files_of(settings.all_revoked.as_deref())?)
        {
            lists.extend(revocation_lists(path)?);
        }
        if !lists.is_empty() {
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        chain = Some(verifier.build().map_err(|error| broken(&error))?);
    }
    let verifier = Verifier {
        chain,
        // Whether an authority has revoked itself is not checked.
        own: own
            .into_iter()
            .filter(|_| settings.revoked.is_none() && settings.all_revoked.is_none())
            .collect(),
        name: mode == TlsMode::VerifyFull,
        schemes,
    };
    let builder = builder.with_custom_certificate_verifier(Arc::new(verifier));
    let with_name = |mut config: ClientConfig| {
        config.enable_sni = !settings.hides_name;
        config
    };
    let Some(certificate) = settings.certificate else {
        return Ok(with_name(builder.with_no_client_auth()));
    };
    let key = settings.key.ok_or_else(|| {
        Error::usage(format!(
            "cannot use the certificate {}: its key is missing; name it by sslkey",
            certificate.display()
        ))
    })?;
    let place =
        |error: &dyn std::fmt::Display| Error::configuration(format!("{}: {error}", key.display()));
    check_private(&key)?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| place(&error))?;
    let configured = builder.with_client_auth_cert(trust::read(&certificate)?, private);
    configured.map(with_name).map_err(|error| place(&error))
}

/// Returns the versions of TLS between those that are named; TLS 1.2 is the oldest one.
fn versions(parameters: &mut Parameters) -> Result<Vec<&'static SupportedProtocolVersion>> {
    const NAMES: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let mut number = |parameter: &str, default: usize| {
        let Some(name) = parameters.take(parameter) else {
            return Ok(default);
        };
        let found = NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(&name));
        found.ok_or_else(|| {
            let names = NAMES.join(", ");
            Error::usage(format!(
                "unknown {parameter} {name:?}; expected one of {names}"
            ))
        })
    };
    let oldest = number("ssl_min_protocol_version", 2)?;
    let newest = number("ssl_max_protocol_version", 3)?;
    let supported = [(2, &TLS12), (3, &TLS13)].into_iter();
    let asked = supported.filter(|(number, _)| (oldest..=newest).contains(number));
    let versions: Vec<_> = asked.map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(Error::configuration(
            "no version of TLS fits ssl_min_protocol_version and ssl_max_protocol_version; \
             TLSv1.2 and TLSv1.3 are supported",
        ));
    }
    Ok(versions)
}

/// Returns the files of a folder that are named as OpenSSL names revocation lists: a digest of
/// their authority, `.r` and a number.
fn files_of(folder: Option<&Path>) -> Result<Vec<PathBuf>> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let broken = |error: &dyn std::fmt::Display| {
        Error::configuration(format!(
            "cannot read the revocation lists in {}: {error}; name another folder by sslcrldir",
            folder.display()
        ))
    };
    let is_list = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let number = extension.and_then(|extension| extension.strip_prefix('r'));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let entries = folder.read_dir().map_err(|error| broken(&error))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths
        .collect::<std::io::Result<_>>()
        .map_err(|error| broken(&error))?;
    let lists: Vec<PathBuf> = paths.into_iter().filter(is_list).collect();
    if lists.is_empty() {
        return Err(broken(&"there is none; run openssl rehash on it"));
    }
    Ok(lists)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let place = |error: &dyn std::fmt::Display| {
        Error::configuration(format!(
            "cannot use the revocation list {}: {error}; name another file by sslcrl",
            path.display()
        ))
    };
    let lists = CertificateRevocationListDer::pem_file_iter(path);
    let lists = lists.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let lists = lists.map_err(|error| place(&error))?;
    if lists.is_empty() {
        return Err(place(&"there is none in it"));
    }
    Ok(lists)
}

/// Checks, as libpq does, that nobody else can read a key; a group may read one of root's.
fn check_private(key: &Path) -> Result<()> {
    let Ok(data) = key.metadata() else {
        return Ok(());
    };
    let others = if data.uid() == 0 { 0o037 } else { 0o077 };
    if data.is_file() && data.mode() & others != 0 {
        return Err(Error::configuration(format!(
            "cannot use the key {}: others can read or write it; run: chmod 600 {0}",
            key.display()
        )));
    }
    Ok(())
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
