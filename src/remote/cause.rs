//! What an error of a client was caused by.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::Kind;
use crate::retry::Failure;

/// Returns the text of the innermost cause: what a person needs to know.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns why no connection was made, and what to look at.
pub fn no_connection(cause: &str) -> String {
    let hint = other_protocol(cause).unwrap_or("is the server running, and its URL right?");
    format!("cannot connect: {cause} ({hint})")
}

/// Returns why there was no response, and what to look at.
pub fn no_response(cause: &str) -> String {
    let hint = other_protocol(cause).map(|hint| format!(" ({hint})"));
    format!("{cause}{}", hint.unwrap_or_default())
}

/// Returns what to look at if the server may speak another protocol. The causes are the texts of
/// tokio-rustls and hyper.
fn other_protocol(cause: &str) -> Option<&'static str> {
    match cause {
        "tls handshake eof" => Some(
            "the server closed the connection instead of speaking TLS; if it only speaks plain \
             HTTP, use http:// in its URL",
        ),
        "invalid HTTP version parsed" | "received unexpected message from connection" => {
            Some("the answer is not HTTP; if the server speaks TLS, use https:// in its URL")
        }
        _ => None,
    }
}

/// Returns the failure of a TLS connection, which no retry mends. `trust` names what says which
/// certificates are trusted, `address` where the URL of the server comes from.
pub fn no_tls(error: &rustls::Error, trust: &str, address: &str) -> Failure {
    let text = match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            format!("the server does not speak TLS; use http:// in {address}")
        }
        rustls::Error::AlertReceived(_) => format!(
            "TLS: {error}; the server refuses the connection: it may want another version of \
             TLS, a client certificate or another host name"
        ),
        _ => format!("TLS: {error}; is the certificate trusted ({trust})?"),
    };
    Failure::permanent(Kind::Refused, text)
}

/// Returns the error of TLS among the causes.
pub fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error's own `source` skips the error that it wraps.
    let wrapped = || error.downcast_ref::<io::Error>()?.get_ref();
    error
        .downcast_ref()
        .or_else(|| find_tls(wrapped()?))
        .or_else(|| find_tls(error.source()?))
}

/// Returns what a failure to open another connection was caused by, if this process has no
/// file descriptors left.
pub fn find_exhausted(error: &(dyn Error + 'static)) -> Option<String> {
    let own = error.downcast_ref::<io::Error>();
    let number = own.and_then(io::Error::raw_os_error);
    let number = number.map(Errno::from_raw_os_error);
    if matches!(number, Some(Errno::MFILE | Errno::NFILE)) {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        return Some(format!(
            "too many open files: this process may open {limit}; raise `ulimit -n`, or lower \
             --concurrency"
        ));
    }
    let wrapped = || own?.get_ref();
    wrapped()
        .and_then(|inner| find_exhausted(inner))
        .or_else(|| find_exhausted(error.source()?))
}
