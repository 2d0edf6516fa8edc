//! Divides an export among workers: an idle one takes the later half of the longest rest.

use parking_lot::{Condvar, Mutex};

use super::pages::KintoSpan;

/// The spans of an export, and the workers on them.
pub struct Ranges {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<KintoSpan>,
    at_work: Vec<Work>,
    ended: bool,
}

/// The rest of a worker's span.
#[derive(Clone, Copy)]
struct Work {
    rest: Option<KintoSpan>,
    /// The time that its last page covered; unknown before the first.
    step: Option<u64>,
}

impl Ranges {
    pub fn new(spans: &[KintoSpan], workers: usize) -> Self {
        let idle = Work {
            rest: None,
            step: None,
        };
        Self {
            state: Mutex::new(State {
                waiting: spans.iter().rev().copied().collect(),
                at_work: vec![idle; workers],
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Returns the rest of the span of `worker`, or a new one; `None` when no span is worth
    /// splitting.
    pub fn take(&self, worker: usize) -> Option<KintoSpan> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(rest) = state.at_work[worker].rest {
                return Some(rest);
            }
            let span = state.waiting.pop().or_else(|| state.split());
            if let Some(rest) = span {
                state.at_work[worker] = Work {
                    rest: Some(rest),
                    step: None,
                };
                return Some(rest);
            }
            let unknown = |work: &Work| work.rest.is_some() && work.step.is_none();
            if !state.at_work.iter().any(unknown) {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes the first and last change of a page of `worker`, and whether there are more;
    /// returns the part of its span that is done.
    pub fn done(&self, worker: usize, ends: Option<(u64, u64)>, more: bool) -> Option<KintoSpan> {
        let mut state = self.state.lock();
        let work = &mut state.at_work[worker];
        let rest = work.rest?;
        let part = match ends {
            Some((first, last)) if more && last < rest.through => {
                let begun = rest.after.unwrap_or(first);
                *work = Work {
                    rest: Some(KintoSpan {
                        after: Some(last),
                        ..rest
                    }),
                    step: Some(last - begun),
                };
                KintoSpan {
                    through: last,
                    ..rest
                }
            }
            _ => {
                work.rest = None;
                rest
            }
        };
        self.changed.notify_all();
        Some(part)
    }

    /// Makes all workers stop after their current page.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

impl State {
    fn split(&mut self) -> Option<KintoSpan> {
        let long = |work: &Work| {
            let (rest, step) = (work.rest?, work.step?);
            let length = rest.through - rest.after?;
            (length > 2 * step.max(1)).then_some(length)
        };
        let longest = (self.at_work.iter_mut()).max_by_key(|work| long(work))?;
        let length = long(longest)?;
        let rest = longest.rest.as_mut()?;
        let middle = rest.through - length / 2;
        let taken = KintoSpan {
            after: Some(middle),
            through: rest.through,
        };
        rest.through = middle;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers export the changes 1 to 100, ten a page.
    #[test]
    fn halves_add_up_to_the_whole() {
        let whole = KintoSpan {
            after: None,
            through: 100,
        };
        let ranges = Ranges::new(&[whole], 2);
        let mut parts = Vec::new();
        let mut idle = [false; 2];
        while idle != [true; 2] {
            for (worker, idle) in idle.iter_mut().enumerate().filter(|(_, idle)| !**idle) {
                let Some(span) = ranges.take(worker) else {
                    *idle = true;
                    continue;
                };
                let first = span.after.map_or(1, |after| after + 1);
                let last = (first + 9).min(span.through);
                let part = ranges.done(worker, Some((first, last)), last < span.through);
                parts.extend(part);
            }
        }
        parts.sort_by_key(|part| part.through);
        assert!(parts.len() > 10);
        assert_eq!(parts[0].after, None);
        assert!(
            parts
                .windows(2)
                .all(|two| two[1].after == Some(two[0].through))
        );
        assert_eq!(parts.last().map(|part| part.through), Some(100));
    }
}
