//! Counts and times for statsd, if `STATSD_HOST` is set.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use cadence::{Counted, DEFAULT_PORT, StatsdClient, Timed, UdpMetricSink};

use crate::environment::variable;

/// Sends metrics by UDP. It never blocks or fails; a lost datagram is a lost count. Clones share
/// the socket.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<StatsdClient>>);

impl Metrics {
    /// Reads `STATSD_HOST`, `STATSD_PORT` and `STATSD_NAMESPACE`. Without the first, nothing is
    /// sent.
    ///
    /// # Errors
    /// Why nothing can be sent.
    pub fn from_environment() -> Result<Self, String> {
        let Some(host) = variable("STATSD_HOST") else {
            return Ok(Self::default());
        };
        let port = variable("STATSD_PORT").map_or(Ok(DEFAULT_PORT), |port| port.parse());
        let unusable = |cause: &dyn fmt::Display| {
            format!(
                "cannot send metrics to {host:?}: {cause}; check STATSD_HOST and STATSD_PORT, or \
                 unset STATSD_HOST"
            )
        };
        let port = port.map_err(|error| unusable(&error))?;
        let server = resolve(&host, port).map_err(|error| unusable(&error))?;
        let any = if server.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| unusable(&error))?;
        let sink = UdpMetricSink::from(server, socket).map_err(|error| unusable(&error))?;
        let namespace = variable("STATSD_NAMESPACE").unwrap_or_default();
        let client = StatsdClient::from_sink(&namespace, sink);
        Ok(Self(Some(Arc::new(client))))
    }

    /// Adds `count` to the counter `name`.
    pub fn incr(&self, name: &str, count: u64) {
        if let Some(client) = &self.0
            && count > 0
        {
            let _ = client.count(name, count);
        }
    }

    /// Adds 1 to the counter `name`, with tags as DogStatsD has them.
    pub fn incr_tagged(&self, name: &str, tags: &[(&str, &str)]) {
        if let Some(client) = &self.0 {
            let metric = client.count_with_tags(name, 1);
            let tagged = tags
                .iter()
                .fold(metric, |metric, (tag, value)| metric.with_tag(tag, value));
            let _ = tagged.try_send();
        }
    }

    /// Sends how long something took, in milliseconds.
    pub fn time(&self, name: &str, time: Duration) {
        if let Some(client) = &self.0 {
            let _ = client.time(name, time);
        }
    }
}

/// Returns an address of the server. One of IPv4 is preferred: servers of metrics seldom listen
/// on `::1`.
fn resolve(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let mut found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let none = || std::io::Error::other("the name has no address");
    found.into_iter().next().ok_or_else(none)
}
