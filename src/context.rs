//! The services that every part of a program shares.

use std::sync::Arc;

use crate::counters::Counters;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// The log, the counters and the shutdown signal; clones share them.
#[derive(Clone)]
pub struct Context {
    pub log: Log,
    pub counters: Arc<Counters>,
    pub shutdown: Arc<Shutdown>,
    /// Whether to wait without limit for a server that is unavailable.
    pub waits_for_servers: bool,
    pub metrics: Metrics,
}
