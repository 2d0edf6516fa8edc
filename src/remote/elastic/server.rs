//! One server over HTTP: its connections, and the requests that are sent until
//! they are answered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{
    AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use tokio::runtime::{Builder, Runtime};

use super::backoff::Backoff;
use super::failure::{Away, Failure, cause};
use super::reason::Reason;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::Log;

const TIMEOUT: Duration = Duration::from_mins(1);

pub struct Server {
    runtime: Runtime,
    transport: Transport,
    headers: HeaderMap,
    address: String,
    pub context: Context,
    /// Whether it was said that the server is away.
    told: AtomicBool,
}

pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub body: Option<Bytes>,
    pub timeout: Duration,
}

impl<'a> Request<'a> {
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

/// An answer that trying again would not change.
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub retry_after: Option<Duration>,
}

impl Server {
    pub fn new(url: Url, context: &Context) -> Result<Self> {
        let address = address(&url);
        let secure = url.scheme() == "https";
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url));
        if secure && let Some(roots) = roots()? {
            builder = builder.cert_validation(CertificateValidation::Full(roots));
        }
        let transport = builder
            .build()
            .map_err(|error| Error::configuration(format!("{address}: {}", cause(&error))))?;
        // The connections live on a thread of their own, so that any number of
        // callers can wait for answers.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("elasticsearch")
            .enable_all()
            .build()
            .map_err(|error| Error::local("threads", &error))?;
        Ok(Self {
            runtime,
            transport,
            headers: headers()?,
            address,
            context: context.clone(),
            told: AtomicBool::new(false),
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> &Log {
        &self.context.log
    }

    /// Waits for `work`, or for the signal that ends it.
    pub fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                stopped = self.context.shutdown.cancelled() => Err(stopped),
                done = work => done,
            }
        })
    }

    /// Sends a request until the server answers it.
    pub async fn ask(&self, mut request: Request<'_>, backoff: &mut Backoff) -> Result<Answer> {
        let most = request.timeout;
        loop {
            request.timeout = backoff.timeout(most);
            match self.once(&request).await {
                Ok(answer) => {
                    self.progress(backoff);
                    return Ok(answer);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Away(away)) => self.pause(backoff, &away).await?,
            }
        }
    }

    /// Sends a request once.
    pub async fn once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let sent = self.transport.send(
            request.method,
            request.path,
            self.headers.clone(),
            Some(request.query),
            request.body.clone(),
            Some(request.timeout),
        );
        let response = sent.await.map_err(|error| self.lost(&error))?;
        let code = response.status_code();
        let retry_after = retry_after(&response);
        let text = response.text().await.map_err(|error| self.lost(&error))?;
        let status = code.as_u16();
        match status {
            401 | 403 => {
                let reason = Reason::of_answer(&text);
                Err(Failure::Final(self.blocked(status, &reason, "")))
            }
            408 | 429 | 500.. => {
                let reason = Reason::of_answer(&text).text;
                let colon = if reason.is_empty() { "" } else { ": " };
                Err(Failure::Away(Away {
                    text: format!("{}: {code}{colon}{reason}", self.address),
                    wait: retry_after,
                    busy: status == 429,
                }))
            }
            _ => Ok(Answer {
                status,
                text,
                retry_after,
            }),
        }
    }

    /// Backoff before the next attempt, or gives up.
    pub async fn pause(&self, backoff: &mut Backoff, away: &Away) -> Result<()> {
        let Some(wait) = backoff.next(away.wait) else {
            return Err(Error::unavailable(format!(
                "{}; gave up after {} attempts, run again when it works",
                away.text,
                backoff.failures()
            )));
        };
        self.context.counters.note("retries of Elasticsearch", 1);
        if !away.busy && !self.told.swap(true, Relaxed) {
            self.context
                .log
                .warn(format!("{}; trying again", away.text));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The server works again: a later failure is a new one.
    pub fn progress(&self, backoff: &mut Backoff) {
        backoff.reset();
        self.told.store(false, Relaxed);
    }
}

/// The URL, as it may be shown.
fn address(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", url.path().trim_end_matches('/'))
}

fn headers() -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let key = std::env::var("ELASTICSEARCH_API_KEY").unwrap_or_default();
    if !key.trim().is_empty() {
        let mut value = HeaderValue::from_str(&format!("ApiKey {}", key.trim()))
            .map_err(|_| Error::configuration("ELASTICSEARCH_API_KEY is not an encoded API key"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// What is trusted besides the public authorities: the variable is OpenSSL's,
/// and means the same to the connection to `PostgreSQL`.
fn roots() -> Result<Option<Certificate>> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let place = path.display();
    let pem = std::fs::read(&path)
        .map_err(|error| Error::configuration(format!("SSL_CERT_FILE: {place}: {error}")))?;
    let certificate = Certificate::from_pem(&pem).map_err(|error| {
        Error::configuration(format!("SSL_CERT_FILE: {place}: {}", cause(&error)))
    })?;
    Ok(Some(certificate))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
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
