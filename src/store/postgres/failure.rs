//! What an error of PostgreSQL means, and its text.

use postgres::error::SqlState;

use crate::error::Kind;
use crate::retry::{Failure, FailureClass};

/// What a pooler says that will say so again.
const POOLER_REFUSALS: [&str; 2] = ["unsupported startup parameter", "statement pooling"];

/// What to do about such a pooler.
pub const POOLER_ADVICE: &str = "the pooler does not take what the loader asks for; give it \
                                   session or transaction pooling and \
                                   ignore_startup_parameters, or connect without it";

/// What is said of an answer that is not of PostgreSQL's protocol.
const NOT_POSTGRESQL: [&str; 2] = ["bytes remaining on stream", "InvalidContentType"];

const USER: &str = "the user in the URL of the database, or PGUSER";
const PASSWORD: &str = "the password in the URL of the database, in PGPASSWORD, or in ~/.pgpass";

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let silent = Self::transient(FailureClass::Silent, describe(&error));
        let permanent = |kind| Self::permanent(kind, describe(&error));
        let Some(code) = error.code() else {
            let source = std::error::Error::source(&error);
            let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
            let untrusted = source.is_some_and(|source| source.to_string().contains("certificate"));
            let gone = io.is_some() || error.is_closed() || error.to_string().contains("timeout");
            if source.is_some_and(|source| {
                let source = source.to_string();
                NOT_POSTGRESQL.iter().any(|text| source.ends_with(text))
            }) {
                return Self::permanent(
                    Kind::Configuration,
                    format!("the server there is not PostgreSQL ({error}); check host and port"),
                );
            }
            // Otherwise: a password, TLS, or an authentication method.
            return if gone && !untrusted {
                silent
            } else {
                permanent(Kind::Refused)
            };
        };
        let text = describe(&error);
        if *code == SqlState::PROTOCOL_VIOLATION
            && POOLER_REFUSALS.iter().any(|part| text.contains(part))
        {
            return Self::permanent(Kind::Configuration, format!("{text}: {POOLER_ADVICE}"));
        }
        match (code.code(), code.code().get(..2)) {
            ("40P01" | "40001", _) => Self::transient(FailureClass::Conflict, text),
            // A lock that is held, and a statement that waited too long, maybe for one.
            ("55P03" | "57014", _) => Self::transient(FailureClass::Answered, text),
            // Read-only after a failover, sessions that were idle too long, connection exceptions,
            // and interventions of an operator such as a restart: a new connection may help.
            ("25006" | "25P03" | "25P04" | "53300", _) | (_, Some("08" | "57")) => silent,
            (_, Some("53")) => permanent(Kind::Unavailable),
            ("3D000", _) => Self::permanent(
                Kind::Configuration,
                format!("{text}; create it, or check its name in DATABASE_URL or --database"),
            ),
            ("28000", _) => Self::permanent(Kind::Refused, format!("{text}; check {USER}")),
            ("28P01", _) => Self::permanent(Kind::Refused, format!("{text}; check {PASSWORD}")),
            (_, Some("28")) => permanent(Kind::Refused),
            _ => permanent(Kind::Configuration),
        }
    }
}

/// Returns the server's message and its code, or the cause of a failed connection.
pub fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} ({})", answer.message(), answer.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) if error.to_string() == "error connecting to server" => {
                format!("cannot connect: {source} (is PostgreSQL running there?)")
            }
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
