//! Where PostgreSQL is and how it is reached, by libpq's rules: the URL, then
//! the `PG*` variables, then `~/.pgpass`; TLS by `sslmode`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::error::{Error, Result};

/// Everything needed to connect, again and again.
pub struct Target {
    config: Config,
    tls: Option<ClientConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Mode::Disable,
            "allow" => Mode::Allow,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            other => {
                return Err(Error::usage(format!(
                    "sslmode {other:?} is none of libpq's"
                )));
            }
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Target {
    /// # Errors
    /// A URL, a variable or a certificate that cannot be used.
    pub fn new(url: &str) -> Result<Self> {
        let mut url = Url::parse(url)
            .map_err(|error| Error::usage(format!("the database's URL: {error}")))?;
        let (mut mode, mut roots) = (variable("PGSSLMODE"), variable("PGSSLROOTCERT"));
        let mut rest = Vec::new();
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => roots = Some(value.into_owned()),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        // The text of a parse error may quote the password.
        let mut config = Config::from_str(url.as_str())
            .map_err(|_| Error::usage("the database's URL has a part that cannot be used"))?;
        fill(&mut config)?;
        let mode = mode.map_or(Ok(Mode::Prefer), |mode| mode.parse())?;
        config.ssl_mode(match mode {
            Mode::Disable | Mode::Allow => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            Mode::Disable | Mode::Allow => None,
            _ => Some(tls(mode, roots.map(PathBuf::from))?),
        };
        Ok(Self { config, tls })
    }

    pub fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(MakeRustlsConnect::new(tls.clone())),
        }
    }
}

/// What the URL leaves open.
fn fill(config: &mut Config) -> Result<()> {
    let usage = |name: &str| Error::usage(format!("{name} is not a usable number"));
    if config.get_hosts().is_empty() {
        let socket = "/var/run/postgresql";
        let host = variable("PGHOST").unwrap_or_else(|| {
            let local = std::path::Path::new(socket).exists();
            if local { socket } else { "localhost" }.to_owned()
        });
        for host in host.split(',') {
            config.host(host);
        }
    }
    if config.get_ports().is_empty()
        && let Some(port) = variable("PGPORT")
    {
        config.port(port.parse().map_err(|_| usage("PGPORT"))?);
    }
    if config.get_user().is_none() {
        let user = variable("PGUSER").or_else(|| variable("USER"));
        config.user(user.as_deref().unwrap_or("postgres"));
    }
    if config.get_dbname().is_none() {
        let user = config.get_user().unwrap_or_default().to_owned();
        config.dbname(&variable("PGDATABASE").unwrap_or(user));
    }
    if config.get_connect_timeout().is_none() {
        let seconds = match variable("PGCONNECT_TIMEOUT") {
            Some(seconds) => seconds.parse().map_err(|_| usage("PGCONNECT_TIMEOUT"))?,
            None => 10,
        };
        config.connect_timeout(Duration::from_secs(seconds));
    }
    if config.get_application_name().is_none() {
        config.application_name(variable("PGAPPNAME").as_deref().unwrap_or("buildhub-pipes"));
    }
    if config.get_options().is_none()
        && let Some(options) = variable("PGOPTIONS")
    {
        config.options(&options);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD").or_else(|| from_pgpass(config))
    {
        config.password(password);
    }
    Ok(())
}

/// The password of the first line of the password file that fits; the file is
/// passed over when others may read it, as libpq does.
fn from_pgpass(config: &Config) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = variable("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass")))?;
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.permissions().mode() & 0o077 != 0 {
        return None;
    }
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "localhost".to_owned(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let wanted = [
        host.as_str(),
        &port,
        config.get_dbname().unwrap_or_default(),
        config.get_user().unwrap_or_default(),
    ];
    BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let fields = pgpass_fields(&line);
            let fits = fields.len() == 5
                && wanted
                    .iter()
                    .zip(&fields)
                    .all(|(wanted, field)| field == "*" || field == wanted);
            fits.then(|| fields.into_iter().last()).flatten()
        })
}

/// The fields of a line, split at colons, a backslash before what is meant
/// literally.
fn pgpass_fields(line: &str) -> Vec<String> {
    if line.starts_with('#') {
        return Vec::new();
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(field) = fields.last_mut() {
            field.push(literal);
        }
    }
    fields
}

fn tls(mode: Mode, roots: Option<PathBuf>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: &dyn std::fmt::Display| Error::configuration(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .dangerous();
    let schemes = provider.signature_verification_algorithms;
    let chain = match mode {
        Mode::VerifyCa | Mode::VerifyFull => {
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
        name: mode == Mode::VerifyFull,
        schemes,
    };
    Ok(builder
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn root_store(file: Option<PathBuf>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file.filter(|file| file.as_os_str() != "system") {
        Some(path) => {
            let broken = |error: &dyn std::fmt::Display| {
                Error::configuration(format!("{}: {error}", path.display()))
            };
            let certificates =
                CertificateDer::pem_file_iter(&path).map_err(|error| broken(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| broken(&error))?;
                store.add(certificate).map_err(|error| broken(&error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// libpq's meanings: `prefer` and `require` encrypt without looking at the
/// certificate, `verify-ca` looks at its issuer, `verify-full` also at its name.
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

#[cfg(test)]
mod tests {
    use super::pgpass_fields;

    #[test]
    fn lines_of_a_password_file() {
        let table: &[(&str, &[&str])] = &[
            ("h:5432:db:me:secret", &["h", "5432", "db", "me", "secret"]),
            (r"a\:b:*:*:me:p\\w:x", &["a:b", "*", "*", "me", r"p\w:x"]),
            ("# h:1:d:u:p", &[]),
        ];
        for (line, fields) in table {
            assert_eq!(pgpass_fields(line), *fields, "{line}");
        }
    }
}
