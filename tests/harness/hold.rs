//! Something that stands still at a chosen moment until it is told to go on.

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
    /// Let go, with what was held back or without it.
    Let(bool),
}

impl Hold {
    /// Stands still; whether what is held back may pass.
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

    /// Lets go, also whoever comes later.
    pub fn release(&self, pass: bool) {
        *self.phase.lock().unwrap() = Phase::Let(pass);
        self.changed.notify_all();
    }
}
