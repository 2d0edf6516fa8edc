//! One server over HTTP: its connections, requests and retries.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Method, Url};
use tokio::runtime::Runtime;

use super::failure::{blocked, classify};
use super::reason::Reason;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::environment::variable;
use crate::error::{Error, Kind, Result};
use crate::log::Log;
use crate::remote::proxy::CREDENTIALS;
use crate::remote::{http, runtime};
use crate::retry::{Announce, Attempts, Failure, FailureClass, Limit, Policy, Retry};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Covers a restart of the server: half a minute on average.
pub const BULK: Policy = Policy {
    limit: Limit::Tries(16),
    backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
    announce: Announce::First,
    counted_as: "retries of Elasticsearch",
    waits_for: &[],
};

/// For a request that creates, changes or examines an index.
pub const OPEN: Policy = Policy {
    limit: Limit::TriesWithin(6, Duration::from_secs(20)),
    ..BULK
};

/// A server and its retries.
pub struct ElasticServer {
    runtime: Runtime,
    client: Client,
    headers: HeaderMap,
    /// With user and password, and a slash at its end.
    url: Url,
    address: String,
    /// The address and its proxy, for messages.
    route: String,
    retry: Retry,
    /// Tries of each request, if the user has set them.
    tries: Option<u32>,
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
    pub fn new(mut url: Url, tries: Option<u32>, context: &Context) -> Result<Self> {
        let address = address(&url);
        url.set_path(&format!("{}/", url.path().trim_end_matches('/')));
        let (client, proxy) = http::client(url.as_str(), TIMEOUT, http::within_server())?;
        // A separate thread serves the connections, so any number of callers can wait.
        Ok(Self {
            runtime: runtime("elasticsearch", Some(1))?,
            client,
            headers: headers()?,
            url,
            route: format!("{address}{proxy}"),
            address,
            retry: Retry::new(BULK, context),
            tries,
        })
    }

    /// Returns the attempts of a request by `policy`, or by the number that the user has set.
    pub fn attempts(&self, policy: Policy) -> Attempts {
        Attempts::new(Policy {
            waits_for: self.retry.policy.waits_for,
            ..policy.with_tries(self.tries)
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
                    self.note_success();
                    return Ok(answer);
                }
                Err(failure) => self.pause(attempts, failure).await?,
            }
        }
    }

    /// Sends a request once.
    pub async fn once(&self, request: &ElasticRequest<'_>) -> Result<ElasticAnswer, Failure> {
        let path = request.path.trim_start_matches('/');
        let url = self.url.join(path);
        let url = url.map_err(|error| Failure::permanent(Kind::Internal, error.to_string()))?;
        let sent = self
            .client
            .request(request.method.clone(), url)
            .headers(self.headers.clone())
            .query(request.query)
            .timeout(request.timeout);
        let sent = match &request.body {
            Some(body) => sent.body(Body::from(body.clone())),
            None => sent,
        };
        let response = self.retry.watch(&self.route, sent.send()).await;
        let response = response.map_err(|error| classify(&error))?;
        let (code, headers) = (response.status(), response.headers().clone());
        let body = if code.is_server_error() {
            let explanation = http::read_explanation(Body::from(response), None);
            self.retry.watch(&self.route, explanation).await
        } else {
            http::read_body(response, (&self.route, &self.retry), classify).await?
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        let retry_after = http::retry_after(&headers);
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

    pub fn note_success(&self) {
        self.retry.note_success(&self.route);
    }

    /// Returns whether requests wait for the server without limit.
    pub fn waits(&self) -> bool {
        self.retry.waits()
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
    let json = HeaderValue::from_static("application/json");
    headers.insert(CONTENT_TYPE, json.clone());
    headers.insert(ACCEPT, json);
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
