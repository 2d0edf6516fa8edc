//! The parameters of a connection, by libpq's rules: those of the URL, then the `PG*` variables.

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use crate::environment::variable;
use crate::error::{Error, Kind, Result};

/// Parameters by name. A list of hosts or ports is one value, with commas.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

/// The variable of each parameter that has one.
const VARIABLES: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslsni", "PGSSLSNI"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("requirepeer", "PGREQUIREPEER"),
    ("require_auth", "PGREQUIREAUTH"),
    ("service", "PGSERVICE"),
];

/// Parameters that change nothing here: how GSSAPI would be used, and what is always so.
const WITHOUT_EFFECT: &[&str] = &[
    "client_encoding",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "sslcompression",
];

/// Parameters of libpq that are refused: without them, a connection might be less safe than was
/// asked for, or another one.
const REFUSED: &[&str] = &[
    "gssencmode",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "sslcertmode",
    "sslkeylogfile",
    "sslpassword",
];

/// Values of parameters that ask for no more than is always so.
const HARMLESS: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("min_protocol_version", &["3.0"]),
    ("sslcertmode", &["allow"]),
];

/// The parameters that the driver takes as they are.
const TAKEN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

impl Parameters {
    /// Reads a URL and the environment.
    ///
    /// # Errors
    /// A part that is not valid (2).
    pub fn read(url: &str) -> Result<Self> {
        let mut parameters = Self::parse(url)?;
        for (name, variable_name) in VARIABLES {
            if !parameters.0.contains_key(*name)
                && let Some(value) = text_of(variable_name)?
            {
                parameters.0.insert((*name).to_owned(), value);
            }
        }
        // As libpq still reads this old variable.
        if variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            parameters.set_default("sslmode", || "require".to_owned());
        }
        for name in WITHOUT_EFFECT {
            parameters.take(name);
        }
        for (name, values) in HARMLESS {
            if parameters
                .get(name)
                .is_some_and(|value| values.contains(&value))
            {
                parameters.take(name);
            }
        }
        if let Some(count) = parameters.take("keepalives_count") {
            parameters.set("keepalives_retries", count);
        }
        if let Some(name) = parameters.take("fallback_application_name") {
            parameters.set("application_name", name);
        }
        Ok(parameters)
    }

    fn parse(url: &str) -> Result<Self> {
        let mut parameters = Self::default();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let rest = match authority.split_once('@') {
            Some((user, _)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                parameters.set("user", decode(name, "user")?);
                parameters.set("password", decode(password, "password")?);
                &rest[user.len() + 1..]
            }
            None => rest,
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for place in hosts.split(',') {
            let (host, port) = split_port(place);
            names.push(decode(host, "host")?);
            ports.push(decode(port, "port")?);
        }
        parameters.set_list("host", &names);
        parameters.set_list("port", &ports);
        parameters.set("dbname", decode(database, "database")?);
        for pair in query.split('&') {
            if !pair.is_empty() {
                parameters.pair(pair)?;
            }
        }
        Ok(parameters)
    }

    /// Parses `name=value` of a query. A plus sign does not mean a space, as in libpq.
    fn pair(&mut self, pair: &str) -> Result<()> {
        let Some((name, value)) = pair.split_once('=') else {
            let name = decode(pair, "query")?;
            return Err(Error::usage(format!(
                "the database's URL: the parameter {name:?} has no value"
            )));
        };
        let (name, value) = (decode(name, "query")?, decode(value, name)?);
        match (name.as_str(), value.as_str()) {
            ("ssl", "true") => self.0.insert("sslmode".to_owned(), "require".to_owned()),
            _ => self.0.insert(name, value),
        };
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.entry(name.to_owned()).or_insert(value);
        }
    }

    fn set_list(&mut self, name: &str, values: &[String]) {
        if values.iter().any(|value| !value.is_empty()) {
            self.set(name, values.join(","));
        }
    }

    /// Sets a parameter that is missing or empty.
    pub fn set_default(&mut self, name: &str, value: impl FnOnce() -> String) {
        if self.get(name).is_none() {
            self.0.insert(name.to_owned(), value());
        }
    }

    /// Returns a parameter that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Removes a parameter; returns it if it is not empty.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Returns the parameters as the driver reads them.
    ///
    /// # Errors
    /// A parameter of libpq that is not supported (78), or an unknown one (2).
    pub fn conninfo(&self) -> Result<String> {
        let mut text = String::new();
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            if !TAKEN.contains(&name.as_str()) {
                return Err(unsupported(name));
            }
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            let _ = write!(text, "{name}='{value}' ");
        }
        Ok(text)
    }
}

fn unsupported(name: &str) -> Error {
    let variable = VARIABLES.iter().find(|(parameter, _)| *parameter == name);
    let variable = variable.map_or(String::new(), |(_, variable)| format!(" ({variable})"));
    let kind = if REFUSED.contains(&name) {
        Kind::Configuration
    } else {
        Kind::Usage
    };
    let message = format!(
        "cannot use the setting {name}{variable} of PostgreSQL as it is set: it is not supported; \
         leave it out of the URL and of the environment"
    );
    Error::message(kind, message)
}

/// Returns a variable that is set and not empty.
///
/// # Errors
/// It is not UTF-8 (78): without it, the connection might be less safe than was asked for.
fn text_of(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Error::configuration(format!(
            "cannot use {name}: it is not valid UTF-8; set it to another value"
        ))),
    }
}

/// Returns a host, whose IPv6 address may be in brackets, and its port.
fn split_port(place: &str) -> (&str, &str) {
    if let Some((host, rest)) = place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.trim_start_matches(':'));
    }
    place.split_once(':').unwrap_or((place, ""))
}

fn decode(text: &str, part: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let text = decoded.ok().filter(|text| !text.contains('\0'));
    text.map(std::borrow::Cow::into_owned)
        .ok_or_else(|| Error::usage(format!("the database's URL: the {part} is not valid UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[test]
    fn a_url_is_parsed_as_by_libpq() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("postgres://", &[]),
            ("postgres:///db", &[("dbname", "db")]),
            (
                "postgresql://me:a%40?b@h:1,,[::1]:3/my%20db?options=-c%20a%3Db+c&ssl=true",
                &[
                    ("dbname", "my db"),
                    ("host", "h,,::1"),
                    ("options", "-c a=b+c"),
                    ("password", "a@?b"),
                    ("port", "1,,3"),
                    ("sslmode", "require"),
                    ("user", "me"),
                ],
            ),
            (
                "postgres://%2Fvar%2Frun/db?application_name=a@b&port=7",
                &[
                    ("application_name", "a@b"),
                    ("dbname", "db"),
                    ("host", "/var/run"),
                    ("port", "7"),
                ],
            ),
            (
                "postgres://me@/?host=/tmp",
                &[("host", "/tmp"), ("user", "me")],
            ),
        ];
        for (url, expected) in table {
            let parsed = Parameters::parse(url).unwrap().0;
            let parsed: Vec<_> = parsed
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            assert_eq!(parsed, *expected, "{url}");
        }
        assert!(Parameters::parse("postgres://h/?a").is_err());
    }
}
