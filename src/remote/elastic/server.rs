//! One server over HTTP: its connections, requests and retries.

use std::time::Duration;

use bytes::Bytes;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use tokio::runtime::Runtime;

use super::failure::{blocked, classify};
use super::reason::Reason;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::environment::variable;
use crate::error::{Error, Kind, Result};
use crate::log::Log;
use crate::remote::cause::root_cause;
use crate::remote::proxy::{CREDENTIALS, Proxies, through};
use crate::remote::{http, runtime};
use crate::retry::{Announce, Attempts, Failure, FailureClass, Limit, Policy, Retry};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Covers a restart of the server: half a minute on average.
pub const BULK: Policy = Policy {
    limit: Limit::Tries(16),
    backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
    announce: Announce::First,
    counted_as: "retries of Elasticsearch",
};

/// For a request that creates, changes or examines an index.
pub const OPEN: Policy = Policy {
    limit: Limit::TriesWithin(6, Duration::from_secs(20)),
    ..BULK
};

/// A server and its retries.
pub struct ElasticServer {
    runtime: Runtime,
    transport: Transport,
    headers: HeaderMap,
    address: String,
    /// The address and its proxy, for messages.
    route: String,
    retry: Retry,
}

/// A request; `path` begins with a slash.
pub struct ElasticRequest<'a> {
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub body: Option<Bytes>,
    pub timeout: Duration,
}

impl<'a> ElasticRequest<'a> {
    pub fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            query: &[],
            body: None,
            timeout: TIMEOUT,
        }
    }
}

/// A response that a retry would not change.
pub struct ElasticAnswer {
    pub status: u16,
    pub text: String,
    pub retry_after: Option<Duration>,
}

impl ElasticServer {
    pub fn new(url: Url, context: &Context) -> Result<Self> {
        let address = address(&url);
        let mut route = address.clone();
        let secure = url.scheme() == "https";
        let proxies = Proxies::from_env()?;
        let proxy = proxies.find(url.as_str()).cloned();
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url));
        if secure && let Some(roots) = roots()? {
            builder = builder.cert_validation(CertificateValidation::Full(roots));
        }
        builder = match proxy {
            None => builder.disable_proxy(),
            Some(proxy) => {
                route += &through(&proxy);
                builder.proxy(proxy, None, None)
            }
        };
        let transport = builder
            .build()
            .map_err(|error| Error::configuration(format!("{address}: {}", root_cause(&error))))?;
        // A separate thread serves the connections, so any number of callers can wait.
        Ok(Self {
            runtime: runtime("elasticsearch", Some(1))?,
            transport,
            headers: headers()?,
            address,
            route,
            retry: Retry::new(BULK, context),
        })
    }

    /// Returns its URL, without user and password.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> &Log {
        &self.retry.context.log
    }

    /// Blocks until `work` is done, or a signal arrives.
    pub fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                stopped = self.retry.context.shutdown.cancelled() => Err(stopped),
                done = work => done,
            }
        })
    }

    /// Sends a request, with retries.
    pub async fn ask(
        &self,
        mut request: ElasticRequest<'_>,
        attempts: &mut Attempts,
    ) -> Result<ElasticAnswer> {
        let most = request.timeout;
        loop {
            request.timeout = attempts.timeout(most);
            match self.once(&request).await {
                Ok(answer) => {
                    attempts.reset();
                    return Ok(answer);
                }
                Err(failure) => self.pause(attempts, failure).await?,
            }
        }
    }

    /// Sends a request once.
    pub async fn once(&self, request: &ElasticRequest<'_>) -> Result<ElasticAnswer, Failure> {
        let sent = self.transport.send(
            request.method,
            request.path,
            self.headers.clone(),
            Some(request.query),
            request.body.clone(),
            Some(request.timeout),
        );
        let response = self.retry.watch(&self.route, sent).await;
        let response = response.map_err(|error| classify(&error))?;
        let code = response.status_code();
        let retry_after = http::retry_after(response.headers());
        let text = self.retry.watch(&self.route, response.text()).await;
        let text = text.map_err(|error| classify(&error))?;
        let status = code.as_u16();
        match status {
            401 | 403 => {
                let reason = Reason::from_answer(&text);
                Err(Failure::Permanent(blocked(status, &reason)))
            }
            407 => Err(Failure::permanent(
                Kind::Refused,
                format!("{code}; {CREDENTIALS}"),
            )),
            408 | 429 | 500.. => {
                let reason = Reason::from_answer(&text).text;
                let colon = if reason.is_empty() { "" } else { ": " };
                Err(Failure::Transient {
                    reason: format!("{code}{colon}{reason}"),
                    after: retry_after,
                    class: match status {
                        429 => FailureClass::Throttled,
                        _ => FailureClass::Answered,
                    },
                })
            }
            _ => Ok(ElasticAnswer {
                status,
                text,
                retry_after,
            }),
        }
    }

    /// Waits before the next try after `failure`.
    ///
    /// # Errors
    /// The last failure (69), or a signal.
    pub async fn pause(&self, attempts: &mut Attempts, failure: Failure) -> Result<()> {
        let waited = self.retry.pause(attempts, &self.route, failure).await;
        waited.map_err(|failure| failure.into_error(&self.route))
    }

    /// Returns where an index is.
    pub fn place(&self, index: &str) -> String {
        format!("{}/{index}", self.address)
    }
}

/// Returns the URL, as it may be shown.
fn address(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", url.path().trim_end_matches('/'))
}

fn headers() -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let key = variable("ELASTICSEARCH_API_KEY").unwrap_or_default();
    if !key.trim().is_empty() {
        let mut value = HeaderValue::from_str(&format!("ApiKey {}", key.trim())).map_err(|_| {
            Error::configuration(
                "ELASTICSEARCH_API_KEY is not a valid encoded API \
                                               key",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Returns what is trusted besides the public authorities: the variable is OpenSSL's,
/// and means the same to the connection to `PostgreSQL`.
fn roots() -> Result<Option<Certificate>> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let place = path.display();
    let pem = std::fs::read(&path)
        .map_err(|error| Error::configuration(format!("SSL_CERT_FILE: {place}: {error}")))?;
    let certificate = Certificate::from_pem(&pem).map_err(|error| {
        Error::configuration(format!("SSL_CERT_FILE: {place}: {}", root_cause(&error)))
    })?;
    Ok(Some(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_show_no_secret() -> Result<(), Box<dyn std::error::Error>> {
        let url = Url::parse("https://me:secret@host:9243/pre/fix/?token=secret#secret")?;
        assert_eq!(address(&url), "https://host:9243/pre/fix");
        assert_eq!(address(&Url::parse("http://host")?), "http://host");
        assert_eq!(
            address(&Url::parse("http://[::1]:9200/")?),
            "http://[::1]:9200"
        );
        Ok(())
    }
}
