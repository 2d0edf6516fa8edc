//! The memory of the bodies in flight.
//!
//! The body that the caller waits for never waits for memory itself, or there would be a
//! deadlock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::limits::BODIES;

/// The unit of the budget, in bytes.
const UNIT: u64 = 1 << 10;

/// Returns the budget, in its units.
pub fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(units(BODIES) as usize))
}

/// How many units of the budget `bytes` take.
pub fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// The share of one body.
pub struct BodyRoom {
    memory: Arc<Semaphore>,
    /// The number of the body, and of the one that the caller waits for.
    number: u64,
    head: watch::Receiver<u64>,
    /// Bytes that were taken, also those that another permit holds.
    taken: u64,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyRoom {
    /// Begins with `taken` bytes, which another permit holds.
    pub fn new(
        memory: &Arc<Semaphore>,
        number: u64,
        head: &watch::Receiver<u64>,
        taken: u64,
    ) -> Self {
        Self {
            memory: Arc::clone(memory),
            number,
            head: head.clone(),
            taken,
            permit: None,
        }
    }

    /// Waits until there is room for a body of `bytes`.
    pub async fn reserve(&mut self, bytes: u64) {
        let missing = bytes.saturating_sub(self.taken);
        if missing == 0 {
            return;
        }
        self.taken = bytes;
        let memory = Arc::clone(&self.memory);
        let more = tokio::select! {
            more = memory.acquire_many_owned(units(missing.min(BODIES))) => more.ok(),
            _ = self.head.wait_for(|head| *head >= self.number) => None,
        };
        match (&mut self.permit, more) {
            (Some(permit), Some(more)) => permit.merge(more),
            (None, more) => self.permit = more,
            (_, None) => {}
        }
    }

    /// Reserves for a body that has grown to `bytes`, in steps that become larger.
    pub async fn grow(&mut self, bytes: u64) {
        if bytes > self.taken {
            self.reserve(bytes.max(self.taken * 2)).await;
        }
    }

    /// Returns the permit of what was taken here, `None` if another permit holds it all.
    pub fn into_permit(self) -> Option<OwnedSemaphorePermit> {
        self.permit
    }
}
