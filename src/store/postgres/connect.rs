//! Connects to PostgreSQL by libpq's rules: settings from the URL, then from the
//! `PG*` variables, then from `~/.pgpass`; TLS by `sslmode`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::POOLER_ADVICE;
use super::parameters::Parameters;
use super::pgpass;
use super::tls::{self, TlsMode, TlsSettings};
use crate::environment::variable;
use crate::error::{Error, Kind, Result};
use crate::log::Log;
use crate::retry::{Failure, FailureClass};

/// How many transactions are tried before a server is said to take none.
const TRANSACTIONS: usize = 2;

/// Everything needed to connect, again and again.
pub struct ConnectionTarget {
    config: Config,
    tls: Option<ClientConfig>,
    /// The search path that `options` asks for.
    search_path: Option<String>,
}

impl ConnectionTarget {
    /// Reads the URL, the environment and the certificates.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn new(url: &str, log: &Log) -> Result<Self> {
        let mut parameters = Parameters::read(url)?;
        fill(&mut parameters);
        let settings = TlsSettings::take(&mut parameters)?;
        let mode = parameters.take("sslmode");
        let mode = settings.mode(mode.map(|mode| mode.parse()).transpose()?)?;
        let password_file = parameters.take("passfile").map(PathBuf::from);
        let search_path = parameters.get("options").and_then(search_path);
        // The text of a parse error may quote the password.
        let mut config = Config::from_str(&parameters.conninfo()?)
            .map_err(|_| Error::usage("the database's URL has a part that cannot be used"))?;
        if config.get_password().is_none()
            && let Some(password) = pgpass::password(&parameters, password_file, log)?
        {
            config.password(password);
        }
        config.ssl_mode(match mode {
            TlsMode::Disable | TlsMode::Allow => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            TlsMode::Disable | TlsMode::Allow => None,
            _ => Some(tls::config(mode, settings)?),
        };
        Ok(Self {
            config,
            tls,
            search_path,
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// Among others a pooler that dropped the search path of the URL: other tables would be
    /// used (78).
    pub fn connect(&self) -> Result<Client, Failure> {
        let mut client = match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(MakeRustlsConnect::new(tls.clone())),
        }?;
        if let Some(asked) = &self.search_path {
            let query = "SELECT current_setting('search_path')";
            let is: String = client.query_typed_one(query, &[])?.try_get(0)?;
            if names(&is) != names(asked) {
                let message = format!(
                    "the search path is {is}, not {asked} as options say, so a pooler has dropped \
                     them: set it by ALTER ROLE … SET search_path, or connect without the pooler"
                );
                return Err(Failure::permanent(Kind::Configuration, message));
            }
        }
        Ok(client)
    }

    /// Returns why a new connection was lost. A pooler that takes no transactions closes it at
    /// the first one, which mostly hides what it says.
    pub fn explain(&self, lost: Failure) -> Failure {
        let Failure::Transient {
            class: FailureClass::Silent,
            ..
        } = lost
        else {
            return lost;
        };
        for _ in 0..TRANSACTIONS {
            let said = self.try_transaction();
            if said.as_ref().is_some_and(|error| error.code().is_none()) {
                continue;
            }
            return match said.map(Failure::from) {
                Some(refused @ Failure::Permanent(_)) => refused,
                _ => lost,
            };
        }
        Failure::permanent(
            Kind::Configuration,
            format!("the connection is closed whenever a transaction begins: {POOLER_ADVICE}"),
        )
    }

    /// Begins a transaction on a connection that answers, and returns the error.
    fn try_transaction(&self) -> Option<postgres::Error> {
        let mut client = self.connect().ok()?;
        client.batch_execute("SELECT 1").ok()?;
        let begun = client.batch_execute("BEGIN");
        begun.and_then(|()| client.batch_execute("SELECT 1")).err()
    }
}

/// Returns the search path that `options` set last.
fn search_path(options: &str) -> Option<String> {
    let settings = options.split("search_path=").skip(1);
    let mut value = String::new();
    let mut characters = settings.last()?.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.extend(characters.next()),
            space if space.is_whitespace() => break,
            other => value.push(other),
        }
    }
    Some(value)
}

/// Returns the schemas of a search path.
fn names(path: &str) -> Vec<&str> {
    path.split(',')
        .map(|name| name.trim().trim_matches('"'))
        .collect()
}

/// Sets what is left open.
fn fill(parameters: &mut Parameters) {
    let local = || {
        let socket = "/var/run/postgresql";
        let name = if Path::new(socket).exists() {
            socket
        } else {
            "localhost"
        };
        name.to_owned()
    };
    let hosts = parameters.take("host").unwrap_or_default();
    if !hosts.is_empty() || parameters.get("hostaddr").is_none() {
        let hosts = hosts.split(',').map(|host| match host {
            "" => local(),
            host => host.to_owned(),
        });
        let hosts: Vec<String> = hosts.collect();
        parameters.set_default("host", || hosts.join(","));
    }
    parameters.set_default("user", || {
        variable("USER").unwrap_or_else(|| "postgres".to_owned())
    });
    let user = parameters.get("user").unwrap_or_default().to_owned();
    parameters.set_default("dbname", || user);
    parameters.set_default("connect_timeout", || "10".to_owned());
    parameters.set_default("application_name", || "buildhub-pipes".to_owned());
}
