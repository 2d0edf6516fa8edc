//! The messages that were received and neither deleted nor given up: how many there may be,
//! and which have to be kept hidden.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// A message in flight.
struct Tracked {
    id: String,
    /// It was given up before, and came back.
    is_repeated: bool,
    /// Its place in the order of the output; `None` before it is written.
    number: Option<u64>,
    received: Instant,
    /// When it has to be hidden anew.
    due: Instant,
    hidden_until: Instant,
}

/// Shared by the receivers, by what keeps messages hidden, and by the reports of sqs-delete.
pub struct InFlight {
    tracked: Mutex<HashMap<String, Tracked>>,
    /// The messages that were given up, by id, and until when they stay hidden.
    given_up: Mutex<HashMap<String, Instant>>,
    /// A permit per message that may still be received.
    room: Semaphore,
    /// There is a message again.
    begun: Notify,
    /// How long a message stays hidden without being extended.
    visibility: Duration,
    /// How long a message may be held in all.
    limit: Duration,
}

impl InFlight {
    pub fn new(most: usize, visibility: Duration, limit: Duration) -> Self {
        Self {
            tracked: Mutex::default(),
            given_up: Mutex::default(),
            room: Semaphore::new(most),
            begun: Notify::new(),
            visibility,
            limit,
        }
    }

    /// Waits until at least one message may be received; returns how many, up to `most`.
    pub async fn reserve(&self, most: usize) -> usize {
        let Ok(first) = self.room.acquire().await else {
            return 0;
        };
        first.forget();
        let mut reserved = 1;
        while reserved < most
            && let Ok(more) = self.room.try_acquire()
        {
            more.forget();
            reserved += 1;
        }
        reserved
    }

    /// Returns places that were reserved and are not needed.
    pub fn release(&self, places: usize) {
        self.room.add_permits(places);
    }

    /// Begins to track a message that was received just now; returns whether it was given up
    /// before.
    pub fn add(&self, id: &str, handle: &str) -> bool {
        let received = Instant::now();
        let is_repeated = match self.given_up.lock().get_mut(id) {
            Some(hidden_until) => {
                *hidden_until = received;
                true
            }
            None => false,
        };
        let message = Tracked {
            id: id.to_owned(),
            is_repeated,
            number: None,
            received,
            due: received + self.visibility / 2,
            hidden_until: received + self.visibility,
        };
        let mut tracked = self.tracked.lock();
        let was_empty = tracked.is_empty();
        let earlier = tracked.insert(handle.to_owned(), message);
        drop(tracked);
        self.release(earlier.iter().len());
        if was_empty {
            self.begun.notify_one();
        }
        is_repeated
    }

    /// Records that a message is the `number`th of the output.
    pub fn number(&self, handle: &str, number: u64) {
        if let Some(message) = self.tracked.lock().get_mut(handle) {
            message.number = Some(number);
        }
    }

    /// Ends tracking a message that was reported as deleted or given up, and those before it in
    /// the output: order is kept, so their marks are lost. Returns how many these are, `None` if
    /// the message was not tracked.
    pub fn remove(&self, handle: &str, is_given_up: bool) -> Option<usize> {
        let mut tracked = self.tracked.lock();
        let message = tracked.remove(handle)?;
        let number = message.number;
        let is_before =
            |_: &String, other: &mut Tracked| other.number.is_some() && other.number <= number;
        let lost: Vec<_> = tracked
            .extract_if(is_before)
            .map(|(_, lost)| lost)
            .collect();
        drop(tracked);
        let passed_over = lost.len();
        self.release(1 + passed_over);
        self.give_up(is_given_up.then_some(message).into_iter().chain(lost));
        Some(passed_over)
    }

    fn give_up(&self, messages: impl Iterator<Item = Tracked>) {
        let messages = messages.map(|message| (message.id, message.hidden_until));
        self.given_up.lock().extend(messages);
    }

    /// Returns how many hidden messages of the queue nobody has to wait for: those that were
    /// given up, now or before, and those that have been in flight for longer than `longest`.
    pub fn not_awaited(&self, longest: Option<Duration>) -> usize {
        let now = Instant::now();
        let is_late =
            |message: &Tracked| longest.is_some_and(|longest| now - message.received >= longest);
        let in_flight = self.tracked.lock();
        let in_flight = in_flight
            .values()
            .filter(|message| message.is_repeated || is_late(message))
            .count();
        let given_up = self.given_up.lock();
        in_flight + given_up.values().filter(|until| **until > now).count()
    }

    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// Extends a message anew at once.
    pub fn retry(&self, handle: &str) {
        if let Some(message) = self.tracked.lock().get_mut(handle) {
            message.due = Instant::now();
        }
    }

    /// Ends tracking a message that the queue does not keep for this program any more; returns
    /// whether it was tracked.
    pub fn forget(&self, handle: &str) -> bool {
        let was_tracked = self.tracked.lock().remove(handle).is_some();
        if was_tracked {
            self.release(1);
        }
        was_tracked
    }

    pub fn len(&self) -> usize {
        self.tracked.lock().len()
    }

    /// Returns the messages to hide anew, each with the time; all of them if `all`. What was
    /// held for too long is not tracked any more, and counted.
    pub fn take_due(&self, all: bool) -> (Vec<(String, Duration)>, usize) {
        let now = Instant::now();
        // What is nearly due goes into the same request.
        let soon = now + self.visibility / 10;
        let mut due = Vec::new();
        let mut tracked = self.tracked.lock();
        let is_expired = |handle: &String, message: &mut Tracked| {
            if message.due > soon && !all {
                return false;
            }
            let left = self.limit.saturating_sub(now - message.received);
            let time = self.visibility.min(left);
            if time < Duration::from_secs(1) {
                return true;
            }
            message.due = now + time / 2;
            message.hidden_until = now + time;
            due.push((handle.clone(), time));
            false
        };
        let expired: Vec<_> = tracked.extract_if(is_expired).map(|(_, old)| old).collect();
        drop(tracked);
        let count = expired.len();
        self.release(count);
        self.give_up(expired.into_iter());
        (due, count)
    }

    /// Waits until a message is due.
    pub async fn until_due(&self) {
        loop {
            let begun = self.begun.notified();
            let first = |tracked: &HashMap<String, Tracked>| {
                tracked.values().map(|message| message.due).min()
            };
            let first = first(&self.tracked.lock());
            // A message that comes later is due later.
            match first {
                Some(due) => return tokio::time::sleep_until(due.into()).await,
                None => begun.await,
            }
        }
    }
}
