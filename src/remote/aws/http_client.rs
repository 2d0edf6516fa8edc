//! The HTTP client of the SDK.
//!
//! The SDK's own one takes no response with more than 100 headers, and panics on a
//! certificate that it cannot read.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::Response;
use hyper::header::PROXY_AUTHORIZATION;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::remote::http::read_explanation;
use crate::remote::proxy::{Proxies, ProxyConnector};
use crate::trust;

/// Headers that a response may have.
const MAX_HEADERS: usize = 4096;

/// Limits of the time to connect, and to wait for a response.
type Timeouts = (Option<Duration>, Option<Duration>);

/// Makes a connector for each pair of timeouts.
struct Connectors {
    tls: Arc<ClientConfig>,
    proxies: Arc<Proxies>,
    made: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
}

/// Sends requests, and keeps connections.
struct Connector {
    client: Client<HttpsConnector<ProxyConnector>, SdkBody>,
    proxies: Arc<Proxies>,
    read_timeout: Option<Duration>,
}

/// Returns a client that trusts the certificates in `bundle`, by default those of the system.
///
/// # Errors
/// Certificates that cannot be read (78).
pub fn http_client(bundle: Option<&Path>, proxies: Arc<Proxies>) -> Result<SharedHttpClient> {
    let certificates = match bundle {
        Some(path) => trust::read(path)?,
        None => trust::authorities()?,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if let Some(path) = bundle.filter(|_| added == 0) {
        return Err(Error::configuration(format!(
            "{}: it holds no certificate that can be read",
            path.display()
        )));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(SharedHttpClient::new(Connectors {
        tls: Arc::new(tls),
        proxies,
        made: Mutex::default(),
    }))
}

impl HttpClient for Connectors {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut made = self.made.lock();
        let connector = made
            .entry(timeouts)
            .or_insert_with(|| self.connector(timeouts));
        connector.clone()
    }
}

impl Connectors {
    fn connector(&self, (connect_timeout, read_timeout): Timeouts) -> SharedHttpConnector {
        let mut tcp = TcpConnector::new();
        tcp.set_connect_timeout(connect_timeout);
        let (tls, proxies) = (Arc::clone(&self.tls), Arc::clone(&self.proxies));
        let proxy = ProxyConnector::new(tcp, Arc::clone(&tls), Arc::clone(&proxies));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .build(HttpsConnector::from((proxy, tls)));
        SharedHttpConnector::new(Connector {
            client,
            proxies,
            read_timeout,
        })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        if let Some(credentials) = self.proxies.authorization(request.uri()) {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, credentials);
        }
        let response = self.client.request(request);
        let limit = self.read_timeout;
        HttpConnectorFuture::new(async move {
            let response = match limit {
                Some(limit) => tokio::time::timeout(limit, response)
                    .await
                    .map_err(|error| ConnectorError::timeout(error.into()))?,
                None => response.await,
            };
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            let (head, body) = response.into_parts();
            let body = if head.status.is_success() {
                SdkBody::from_body_1_x(body)
            } else {
                SdkBody::from(read_explanation(body, limit).await)
            };
            HttpResponse::try_from(Response::from_parts(head, body))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connectors")
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
