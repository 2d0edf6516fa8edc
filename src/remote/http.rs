//! The HTTP client of Kinto and the archive: certificates, timeouts, credentials, and what a
//! response or a failure means.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::cause::{find_tls, no_connection, no_response, no_tls, root_cause};
use super::proxy::{self, CREDENTIALS, Proxies};
use crate::backoff::LONGEST_ASKED;
use crate::error::{Error, Kind, Result};
use crate::limits::{EXPLANATION, RESPONSE};
use crate::log::counted;
use crate::retry::{Failure, FailureClass, Retry, SLOW};
use crate::trust;

const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed in a row.
const MOST_REDIRECTS: usize = 10;

/// The connections to one server, and the credentials for it.
pub struct HttpClient {
    client: Client,
    credentials: Option<Credentials>,
    /// Names the proxy in messages.
    proxy: String,
    retry: Retry,
    /// The server has asked for no requests until then.
    quiet: Mutex<Option<Instant>>,
}

/// Credentials for a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Basic(String, String),
    Bearer(String),
}

impl Credentials {
    /// Takes the user and the password out of `url`.
    pub fn take(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let password = url.password().map(text).unwrap_or_default();
        let taken = Self::Basic(text(url.username()), password);
        // A URL with a user has a host, so they can be taken out.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(taken)
    }
}

/// Follows redirects within a server alone: another one is neither sent anything nor believed.
pub fn within_server() -> Policy {
    Policy::custom(|attempt| {
        let origin = |url: &Url| url.origin();
        let previous = attempt.previous();
        let stays = previous.last().map(origin) == Some(attempt.url().origin());
        if stays && previous.len() <= MOST_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// Returns the connections to one server, for requests that take `timeout` at most, and its
/// proxy, for messages. For an `address` of https it trusts what the system trusts, or what
/// `SSL_CERT_FILE` names, besides the public authorities.
///
/// # Errors
/// The certificates to trust cannot be read, or the address of the proxy is not a URL (78).
pub fn client(address: &str, timeout: Duration, redirects: Policy) -> Result<(Client, String)> {
    let mut builder = Client::builder()
        .user_agent(AGENT)
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .redirect(redirects)
        .no_proxy();
    if address.starts_with("https:") {
        let roots = roots()?.into_iter();
        builder = roots.fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    let unusable =
        |error: reqwest::Error| Error::configuration(format!("HTTP: {}", root_cause(&error)));
    // Redirects stay on the server.
    let proxies = Proxies::from_env()?;
    let proxy = proxies.find(address);
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(unusable)?);
    }
    let client = builder.build().map_err(unusable)?;
    Ok((client, proxy.map(proxy::through).unwrap_or_default()))
}

/// What a server answered, whatever its status.
pub struct HttpAnswer {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl HttpClient {
    /// Returns a client for requests that take `timeout` at most. For an `address` of
    /// https it trusts what the system trusts, or what `SSL_CERT_FILE` names, besides the
    /// public authorities.
    ///
    /// # Errors
    /// The certificates to trust cannot be read, or the address of the proxy is not a URL (78).
    pub fn open(
        address: &str,
        timeout: Duration,
        redirects: Policy,
        credentials: Option<Credentials>,
        retry: &Retry,
    ) -> Result<Self> {
        let (client, proxy) = client(address, timeout, redirects)?;
        Ok(Self {
            client,
            credentials,
            proxy,
            retry: retry.clone(),
            quiet: Mutex::new(None),
        })
    }

    /// Sends a request once, after the time for which the server has asked for none. `build`
    /// adds headers and a body.
    ///
    /// # Errors
    /// There was no response, or it was cut.
    pub async fn send(
        &self,
        method: &Method,
        url: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<HttpAnswer, Failure> {
        let place = self.place(url);
        let quiet = *self.quiet.lock();
        if let Some(until) = quiet {
            let wait = until.saturating_duration_since(Instant::now());
            if wait >= SLOW {
                let seconds = counted(wait.as_secs(), "second");
                let retry = &self.retry;
                retry.announce(format!(
                    "{place}: the server asks for no request for {seconds}"
                ));
            }
            tokio::time::sleep_until(until.into()).await;
        }
        let mut request = self.client.request(method.clone(), url);
        request = match &self.credentials {
            Some(Credentials::Basic(user, password)) => request.basic_auth(user, Some(password)),
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        let response = self.retry.watch(&place, build(request).send()).await;
        let response = response.map_err(|error| self.classify(&error))?;
        let (code, headers) = (response.status(), response.headers().clone());
        if let Some(wait) = backoff(&headers) {
            let until = Instant::now() + wait.min(LONGEST_ASKED);
            let mut quiet = self.quiet.lock();
            *quiet = quiet.max(Some(until));
        }
        if code == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(Failure::permanent(
                Kind::Refused,
                format!("{code}{}; {CREDENTIALS}", self.proxy),
            ));
        }
        let body = if code.as_u16() < 400 {
            let classify = |error: &reqwest::Error| self.classify(error);
            read_body(response, (&place, &self.retry), classify).await?
        } else {
            let explanation = read_explanation(reqwest::Body::from(response), None);
            self.retry.watch(&place, explanation).await
        };
        Ok(HttpAnswer {
            code,
            headers,
            body,
        })
    }

    /// Returns the URL of a request without its query, and the proxy, for messages.
    pub fn place(&self, url: &str) -> String {
        let url = url.split('?').next().unwrap_or_default();
        format!("{url}{}", self.proxy)
    }

    /// Returns what a request without a response means. A refused connection concerns this
    /// request only; a silent server has failed as a whole.
    fn classify(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::transient(FailureClass::Silent, "no answer in time");
        }
        let cause = root_cause(error);
        if proxy::is_unauthorized(&cause) {
            let cause = format!("{cause}{}; {CREDENTIALS}", self.proxy);
            return Failure::permanent(Kind::Refused, cause);
        }
        if let Some(error) = find_tls(error) {
            return no_tls(error, "SSL_CERT_FILE", "its URL");
        }
        if error.is_builder() {
            return Failure::Object(Error::configuration(cause));
        }
        if error.is_connect() {
            return Failure::transient(FailureClass::Unconnected, no_connection(&cause));
        }
        Failure::transient(FailureClass::Answered, no_response(&cause))
    }
}

impl HttpAnswer {
    pub fn status(&self) -> u16 {
        self.code.as_u16()
    }

    /// Returns the failure of a request that may succeed later, but not before the time
    /// that the server asks for.
    pub fn transient(&self, reason: String) -> Failure {
        Failure::Transient {
            reason,
            after: retry_after(&self.headers),
            class: match self.status() {
                429 | 503 => FailureClass::Throttled,
                _ => FailureClass::Answered,
            },
        }
    }
}

/// Reads a whole body, decompressed.
///
/// # Errors
/// It is too long (69), or what `classify` makes of a failure.
pub async fn read_body(
    mut response: Response,
    (place, retry): (&str, &Retry),
    classify: impl Fn(&reqwest::Error) -> Failure,
) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    loop {
        let piece = retry.watch(place, response.chunk()).await;
        let Some(piece) = piece.map_err(|error| classify(&error))? else {
            return Ok(body.freeze());
        };
        if body.len() + piece.len() > RESPONSE {
            let limit = RESPONSE >> 20;
            let reason = format!("the answer is longer than {limit} MiB; is the address right?");
            return Err(Failure::permanent(Kind::Unavailable, reason));
        }
        body.extend_from_slice(&piece);
    }
}

/// Reads the start of a body that only explains a status, as far as it comes within `limit`.
pub async fn read_explanation(
    mut body: impl Body<Data = Bytes> + Unpin,
    limit: Option<Duration>,
) -> Bytes {
    let mut read = BytesMut::new();
    let all = async {
        while read.len() < EXPLANATION
            && let Some(Ok(frame)) = body.frame().await
        {
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    match limit {
        Some(limit) => drop(tokio::time::timeout(limit, all).await),
        None => all.await,
    }
    read.truncate(EXPLANATION);
    read.freeze()
}

/// Returns the certificates to trust besides the public authorities.
fn roots() -> Result<Vec<Certificate>> {
    let native = trust::authorities()?;
    let roots = native.iter().map(|der| Certificate::from_der(der));
    Ok(roots.filter_map(Result::ok).collect())
}

/// Returns the delay that the server asks for: seconds, or until a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

/// Parses a number of seconds, or a date.
pub fn parse_retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    seconds(text).or_else(|| {
        let until = rfc2822::parse(text).ok()?.timestamp();
        let left = until.duration_since(Timestamp::now());
        Some(Duration::try_from(left).unwrap_or_default())
    })
}

/// Returns how long Kinto asks for no further request, in a response that succeeded.
fn backoff(headers: &HeaderMap) -> Option<Duration> {
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
