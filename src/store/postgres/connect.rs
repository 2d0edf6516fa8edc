//! Connects to PostgreSQL by libpq's rules: settings from the URL, then from the
//! `PG*` variables, then from `~/.pgpass`; TLS by `sslmode`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use super::tls::TlsMode;
use super::{pgpass, tls};
use crate::error::{Error, Result};

/// Everything needed to connect, again and again.
pub struct ConnectionTarget {
    config: Config,
    tls: Option<ClientConfig>,
}

/// Returns an environment variable that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl ConnectionTarget {
    /// Reads the URL, the environment and the certificates.
    ///
    /// # Errors
    /// One of them cannot be used.
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
        let mode = mode.map_or(Ok(TlsMode::Prefer), |mode| mode.parse())?;
        config.ssl_mode(match mode {
            TlsMode::Disable | TlsMode::Allow => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            TlsMode::Disable | TlsMode::Allow => None,
            _ => Some(tls::config(mode, roots.map(PathBuf::from))?),
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

/// Sets what the URL leaves open.
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
        && let Some(password) = variable("PGPASSWORD").or_else(|| pgpass::password(config))
    {
        config.password(password);
    }
    Ok(())
}
