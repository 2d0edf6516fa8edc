//! A point at which a thread blocks until the test releases it.

use std::sync::{Condvar, Mutex};

#[derive(Default)]
pub struct Hold {
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Phase {
    #[default]
    Open,
    Held,
    /// Released; whether the held data may pass.
    Let(bool),
}

impl Hold {
    /// Blocks until the release, and returns whether the held data may pass.
    pub fn stand(&self) -> bool {
        let mut phase = self.phase.lock().unwrap();
        if *phase == Phase::Open {
            *phase = Phase::Held;
        }
        loop {
            match *phase {
                Phase::Let(pass) => return pass,
                _ => phase = self.changed.wait(phase).unwrap(),
            }
        }
    }

    pub fn is_held(&self) -> bool {
        *self.phase.lock().unwrap() == Phase::Held
    }

    /// Releases the thread, and all that come later.
    pub fn release(&self, pass: bool) {
        *self.phase.lock().unwrap() = Phase::Let(pass);
        self.changed.notify_all();
    }
}
