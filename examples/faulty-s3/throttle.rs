//! How much the bucket bears: more is answered with 503 `SlowDown`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;

#[derive(Args)]
pub struct Limits {
    /// `SlowDown` for requests beyond N a second; a tenth of that may come at once
    #[arg(long, value_name = "N")]
    max_rps: Option<u32>,
    /// `SlowDown` for requests beyond N at a time
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
}

pub struct Throttle {
    limits: Limits,
    in_flight: AtomicU32,
    bucket: Mutex<Bucket>,
}

/// Requests that may still come, and when that was counted.
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A request that is being answered.
pub struct Ticket<'a> {
    throttle: &'a Throttle,
    pub refused: Option<&'static str>,
}

impl Throttle {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            in_flight: AtomicU32::new(0),
            bucket: Mutex::new(Bucket {
                tokens: f64::INFINITY,
                at: Instant::now(),
            }),
        }
    }

    pub fn admit(&self) -> Ticket<'_> {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let is_crowded = self.limits.max_in_flight.is_some_and(|most| others >= most);
        let refused = match self.limits.max_rps {
            _ if is_crowded => Some("max-in-flight"),
            Some(rate) if !self.takes(f64::from(rate)) => Some("max-rps"),
            _ => None,
        };
        Ticket {
            throttle: self,
            refused,
        }
    }

    fn takes(&self, rate: f64) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let filled = bucket.tokens + rate * (now - bucket.at).as_secs_f64();
        bucket.at = now;
        bucket.tokens = filled.min((rate / 10.0).max(1.0));
        let takes = bucket.tokens >= 1.0;
        if takes {
            bucket.tokens -= 1.0;
        }
        takes
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.throttle.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
