//! What every part of a program shares.

use std::sync::Arc;

use crate::counters::Counters;
use crate::log::Log;
use crate::shutdown::Shutdown;

/// Where messages go, what is counted, and whether to stop; clones are the same one.
#[derive(Clone)]
pub struct Context {
    pub log: Log,
    pub counters: Arc<Counters>,
    pub shutdown: Arc<Shutdown>,
}
