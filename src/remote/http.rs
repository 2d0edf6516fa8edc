//! What the plain HTTP clients share: trust, time limits, a name, and what a
//! server asks for in its headers.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, ClientBuilder};

use super::cause::{find_tls, root_cause};
use crate::error::Kind;
use crate::retry::{Failure, FailureClass};

const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(10);

/// A client for requests that take `timeout` at most. It trusts what the
/// system trusts, or what `SSL_CERT_FILE` names, besides the public
/// authorities; where `secure` is not set, nobody has to be trusted.
pub fn builder(timeout: Duration, secure: bool) -> ClientBuilder {
    let builder = ClientBuilder::new()
        .user_agent(AGENT)
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout);
    let native = secure.then(|| rustls_native_certs::load_native_certs().certs);
    let native = native.into_iter().flatten();
    let roots = native.filter_map(|der| Certificate::from_der(&der).ok());
    roots.fold(builder, ClientBuilder::add_root_certificate)
}

/// What a request without an answer means.
#[must_use]
pub fn lost(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::transient(FailureClass::Silent, "no answer in time");
    }
    let cause = root_cause(error);
    if find_tls(error).is_some() {
        return Failure::permanent(
            Kind::Refused,
            format!("TLS: {cause}; is the certificate trusted (SSL_CERT_FILE)?"),
        );
    }
    if error.is_builder() {
        return Failure::InvalidRequest(cause);
    }
    Failure::transient(FailureClass::Silent, cause)
}

/// How long the server asks us to stay away: in seconds, or until a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    seconds(text).or_else(|| {
        let until = rfc2822::parse(text).ok()?.timestamp();
        let left = until.duration_since(Timestamp::now());
        Some(Duration::try_from(left).unwrap_or_default())
    })
}

/// How long a server that answers wants to be left alone, in its own header.
#[must_use]
pub fn backoff(headers: &HeaderMap) -> Option<Duration> {
    seconds(headers.get("backoff")?.to_str().ok()?.trim())
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, reqwest::header::HeaderValue::from_static(text));
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("-7"), None);
        assert_eq!(asked("soon"), None);
        let past = asked("Sat, 21 Nov 2015 08:59:41 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        let future = asked("Thu, 21 Nov 2199 08:59:41 GMT");
        assert!(future.is_some_and(|wait| wait > Duration::from_secs(1_000_000)));
    }
}
