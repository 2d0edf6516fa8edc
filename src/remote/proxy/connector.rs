//! Connects to a server, through its proxy if it has one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::http::Uri;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Proxies;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connects by TCP, or by TLS for a proxy of https.
#[derive(Clone)]
pub struct ProxyConnector {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    proxies: Arc<Proxies>,
}

/// A failure to connect through a proxy.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect through the proxy {proxy}")]
pub struct ProxyError {
    /// Its address, without a password.
    pub proxy: String,
    source: BoxError,
}

impl ProxyConnector {
    pub fn new(mut tcp: HttpConnector, tls: Arc<ClientConfig>, proxies: Arc<Proxies>) -> Self {
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, tls, proxies }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = ProxyStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<ProxyStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&server) else {
            let connecting = self.tcp.call(server);
            return Box::pin(async move {
                Ok(ProxyStream {
                    stream: MaybeHttpsStream::Http(connecting.await?),
                    forwards: false,
                })
            });
        };
        let mut hop = HttpsConnector::from((self.tcp.clone(), Arc::clone(&self.tls)));
        Box::pin(async move {
            let forwards = server.scheme() == Some(&Scheme::HTTP);
            let stream: Result<Stream, BoxError> = if forwards {
                hop.call(proxy.uri().clone()).await
            } else {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), hop);
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                tunnel.call(server).await.map_err(Into::into)
            };
            let stream = stream.map_err(|source| ProxyError {
                proxy: proxy.uri().to_string().trim_end_matches('/').to_owned(),
                source,
            })?;
            Ok(ProxyStream { stream, forwards })
        })
    }
}

/// A connection to a server or its proxy.
pub struct ProxyStream {
    stream: Stream,
    /// The proxy takes requests with the address of their server.
    forwards: bool,
}

impl Connection for ProxyStream {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.forwards)
    }
}

impl Read for ProxyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for ProxyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
