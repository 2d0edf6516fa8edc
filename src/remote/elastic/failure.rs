//! What a failed request means, and what its user should do. The caller adds the place.

use super::reason::Reason;
use crate::error::{Error, Kind};
use crate::remote::cause::{find_tls, no_connection, no_tls, root_cause};
use crate::remote::proxy::{CREDENTIALS, is_unauthorized};
use crate::retry::{Failure, FailureClass};

/// What Elasticsearch says of the alias of [`super::ownership`] when the index
/// is gone that had it.
pub const NO_ALIAS: &str = "invalid_index_name_exception";

/// What to do when documents are lost with their index.
pub const MEND: &str = "run bh-index with the same --database and --index: it creates the index \
                        if it is missing, and sends what it lacks";

/// Returns the error of a response that makes all further requests useless.
pub fn blocked(status: u16, reason: &Reason) -> Error {
    let (kind, hint) = match (status, reason.kind.as_str()) {
        (_, "cluster_block_exception") => (
            Kind::Configuration,
            "lift the block of the index or cluster",
        ),
        (_, "index_closed_exception") => (Kind::Configuration, "open the index"),
        (404, _) | (_, NO_ALIAS) => {
            let message = format!("the index is gone; {MEND}");
            return Error::configuration(message);
        }
        (401, _) => (
            Kind::Refused,
            "check the user and password of ELASTICSEARCH_URL",
        ),
        _ if reason.kind.is_empty() => (
            Kind::Refused,
            "the response is not from Elasticsearch: check the URL, and any proxy",
        ),
        _ => (
            Kind::Refused,
            "the user may not do this; it needs the rights to monitor the cluster, and to create, \
             read, write and manage the index and aliases whose names begin with its name",
        ),
    };
    let space = if reason.text.is_empty() { "" } else { " " };
    Error::message(kind, format!("HTTP {status}{space}{}; {hint}", reason.text))
}

/// Returns the error of an unexpected response.
pub fn unexpected(status: u16, text: &str) -> Error {
    let reason = Reason::from_answer(text);
    if status == 404 || reason.kind == "index_closed_exception" {
        return blocked(status, &reason);
    }
    Error::configuration(format!(
        "unexpected response: HTTP {status} {}; check the URL, the index and its settings",
        reason.text
    ))
}

/// Returns what a request without a response means.
pub fn classify(error: &reqwest::Error) -> Failure {
    if let Some(error) = find_tls(error) {
        return no_tls(error, "SSL_CERT_FILE", "ELASTICSEARCH_URL");
    }
    if is_unauthorized(&root_cause(error)) {
        return Failure::permanent(
            Kind::Refused,
            format!("{}; {CREDENTIALS}", root_cause(error)),
        );
    }
    let reason = if error.is_timeout() {
        "cannot connect: timed out".to_owned()
    } else {
        no_connection(&root_cause(error))
    };
    Failure::transient(FailureClass::Silent, reason)
}
