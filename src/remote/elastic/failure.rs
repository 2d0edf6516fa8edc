//! What a failed request means, and what its user should do.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::reason::Reason;
use super::server::{Answer, Server};
use crate::error::{Error, Kind};

pub enum Failure {
    Final(Error),
    Away(Away),
}

/// The server is away, or has no time.
pub struct Away {
    pub text: String,
    /// What it asked for.
    pub wait: Option<Duration>,
    /// Part of the daily work, not worth a message.
    pub busy: bool,
}

impl Away {
    pub fn new(text: String) -> Self {
        Self {
            text,
            wait: None,
            busy: false,
        }
    }
}

impl Server {
    /// Why nothing can be done with the index.
    pub fn blocked(&self, status: u16, reason: &Reason, index: &str) -> Error {
        let (kind, hint) = match (status, reason.kind.as_str()) {
            (_, "cluster_block_exception") => (
                Kind::Configuration,
                "lift the block of the index or cluster",
            ),
            (_, "index_closed_exception") => (Kind::Configuration, "open the index"),
            (404, _) => (
                Kind::Configuration,
                "the index is gone; run again to create it",
            ),
            (401, _) => (
                Kind::Refused,
                "check the user and password of ELASTICSEARCH_URL",
            ),
            _ => (
                Kind::Refused,
                "the user may not do this; it needs the rights to monitor the cluster and to create, \
                 read and write the index",
            ),
        };
        let place = match index {
            "" => self.address().to_owned(),
            index => format!("{}/{index}", self.address()),
        };
        let space = if reason.text.is_empty() { "" } else { " " };
        Error::message(
            kind,
            format!("{place}: {status}{space}{}; {hint}", reason.text),
        )
    }

    /// The error of an answer that fits no question of ours.
    pub fn unexpected(&self, answer: &Answer, index: &str) -> Error {
        let reason = Reason::of_answer(&answer.text);
        let status = answer.status;
        if status == 404 || reason.kind == "index_closed_exception" {
            return self.blocked(status, &reason, index);
        }
        Error::configuration(format!(
            "{}/{index}: {status} {}; check the URL, the index and its settings",
            self.address(),
            reason.text
        ))
    }

    pub fn lost(&self, error: &elasticsearch::Error) -> Failure {
        let address = self.address();
        if let Some(error) = links(error).find_map(tls) {
            let hint = match error {
                rustls::Error::InvalidCertificate(_) => {
                    "SSL_CERT_FILE names a file of authorities to trust"
                }
                _ => "is it https that the server speaks?",
            };
            return Failure::Final(Error::message(
                Kind::Refused,
                format!("{address}: TLS: {error}; {hint}"),
            ));
        }
        let text = if error.is_timeout() {
            "timed out".to_owned()
        } else {
            cause(error)
        };
        Failure::Away(Away::new(format!("cannot reach {address}: {text}")))
    }
}

type Link<'a> = &'a (dyn StdError + 'static);

fn links(error: Link) -> impl Iterator<Item = Link> {
    std::iter::successors(Some(error), |&link| link.source())
}

/// The innermost error, worded like the rest of a message.
pub fn cause(error: Link) -> String {
    let text = links(error).last().unwrap_or(error).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(rest).collect()
}

/// An I/O error does not name the error that it wraps as its source.
fn tls(error: Link<'_>) -> Option<&rustls::Error> {
    error.downcast_ref().or_else(|| {
        let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
        tls(wrapped)
    })
}
