//! A pipe between two programs that stops after a number of bytes.

use std::io::{PipeWriter, Read, Write};
use std::process::ChildStdout;
use std::sync::{Arc, Mutex};

use super::hold::Hold;

pub struct Relay {
    pub hold: Arc<Hold>,
    passed: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// Passes `bytes`, then blocks; when released, it passes the rest or ends
    /// at once.
    pub fn start(mut from: ChildStdout, mut to: PipeWriter, bytes: usize) -> Self {
        let hold = Arc::new(Hold::default());
        let passed = Arc::<Mutex<Vec<u8>>>::default();
        let (shared, copy) = (Arc::clone(&hold), Arc::clone(&passed));
        std::thread::spawn(move || {
            let mut left = bytes;
            let mut buffer = vec![0; 1 << 16];
            loop {
                if left == 0 {
                    if !shared.stand() {
                        return;
                    }
                    left = usize::MAX;
                }
                let most = left.min(buffer.len());
                let Ok(read @ 1..) = from.read(&mut buffer[..most]) else {
                    return;
                };
                // The reader may exit at any time.
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
                copy.lock().unwrap().extend(&buffer[..read]);
                left -= read;
            }
        });
        Self { hold, passed }
    }

    /// Returns the bytes that have passed so far.
    pub fn passed(&self) -> Vec<u8> {
        self.passed.lock().unwrap().clone()
    }
}
