//! Sends counts to statsd, if `STATSD_HOST` is set.

use std::net::UdpSocket;

use crate::environment::variable;

/// Sends counts by UDP. It never blocks or fails; a lost datagram is a lost count.
pub struct Metrics(Option<(UdpSocket, String)>);

impl Metrics {
    /// Reads `STATSD_HOST`, `STATSD_PORT` and `STATSD_NAMESPACE`.
    pub fn from_environment() -> Self {
        Self(variable("STATSD_HOST").and_then(|host| {
            let port = variable("STATSD_PORT").map_or(Some(8125), |port| port.parse().ok())?;
            let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"));
            let socket = socket.ok()?;
            socket.connect((&*host, port)).ok()?;
            socket.set_nonblocking(true).ok()?;
            let prefix = variable("STATSD_NAMESPACE").map(|name| name + ".");
            Some((socket, prefix.unwrap_or_default()))
        }))
    }

    /// Adds `count` to the counter `name`.
    pub fn incr(&self, name: &str, count: u64) {
        if let Some((socket, prefix)) = &self.0
            && count > 0
        {
            let _ = socket.send(format!("{prefix}{name}:{count}|c").as_bytes());
        }
    }
}
