//! The workers: each asks the planner what to list, lists it, and hands the
//! page on.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::listing::{Ask, Kept, Keys, Page, Planner};
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::remote::pace::Permit;
use crate::remote::s3::{Bucket, Request, S3};

/// Records to hand on, and what they complete.
pub struct Part {
    pub lines: Vec<u8>,
    pub records: u64,
    /// The last key, when there is one.
    pub last: Option<String>,
    pub covers: Interval,
}

/// Pages that wait for the output, besides one a worker.
const WAITING: usize = 8;

/// Workers that list in the background.
pub struct Crew {
    runtime: Runtime,
    parts: mpsc::Receiver<Result<Part>>,
}

/// A bucket, and how it is asked.
pub struct Desk {
    pub s3: S3,
    pub bucket: Bucket,
    pub prefix: String,
    pub page_size: u16,
}

/// What the workers share.
pub struct Job {
    desk: Arc<Desk>,
    planner: Mutex<Planner>,
    /// The planner was told something.
    told: Notify,
    /// All is listed: what is asked still only informs.
    done: Notify,
    /// Why folders cannot be looked into, and whether that was said.
    refused: OnceLock<String>,
    said: AtomicBool,
    pub context: Context,
}

impl Crew {
    pub fn start(runtime: Runtime, job: Job, workers: usize) -> Self {
        let (sender, parts) = mpsc::channel(WAITING);
        let job = Arc::new(job);
        for _ in 0..workers {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            runtime.spawn(async move {
                if let Err(error) = job.work(&sender).await {
                    // Nobody waits any more once another worker has failed.
                    drop(sender.send(Err(error)).await);
                }
            });
        }
        Self { runtime, parts }
    }

    /// The next part, in no order; `None` when all is listed.
    pub fn next(&mut self) -> Option<Result<Part>> {
        self.parts.blocking_recv()
    }

    /// Stops the workers; what they had listed by now comes still.
    pub fn dismiss(&mut self) {
        self.parts.close();
    }

    /// Leaves without waiting for anybody.
    pub fn leave(self) {
        self.runtime.shutdown_background();
    }
}

impl Job {
    pub fn new(desk: Arc<Desk>, planner: Planner, io: &Io) -> Self {
        Self {
            desk,
            planner: planner.into(),
            told: Notify::new(),
            done: Notify::new(),
            refused: OnceLock::new(),
            said: AtomicBool::new(false),
            context: io.context.clone(),
        }
    }

    async fn work(&self, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        while !parts.is_closed() {
            let (told, done) = (self.told.notified(), self.done.notified());
            let turn = tokio::select! {
                turn = self.desk.bucket.turn() => turn,
                stop = self.context.shutdown.cancelled() => return Err(stop),
            };
            let next = {
                let mut planner = self.planner();
                if planner.is_done() {
                    return Ok(());
                }
                planner.next()
            };
            let Some((ticket, ask)) = next else {
                drop(turn);
                tokio::select! {
                    () = told => continue,
                    () = parts.closed() => return Ok(()),
                    stop = self.context.shutdown.cancelled() => return Err(stop),
                }
            };
            let page = tokio::select! {
                page = self.desk.ask(turn, &ask) => page,
                () = done => return Ok(()),
                () = parts.closed() => return Ok(()),
            };
            self.context.counters.note("requests", 1);
            let page = match (page, &ask) {
                (Err(error), Ask::Children { .. }) if may_go_on(&error) => {
                    self.planner().refused(ticket);
                    self.told.notify_waiters();
                    let _ = self.refused.set(error.to_string());
                    continue;
                }
                (page, _) => page?,
            };
            self.tell_refused();
            let (kept, is_done) = {
                let mut planner = self.planner();
                let kept = match ask {
                    Ask::Page { .. } => planner.page(ticket, &page, page.next()).map(Some),
                    Ask::Children { .. } => {
                        let told = planner.children(ticket, &page.prefixes, &page, page.next());
                        told.map(|()| None)
                    }
                };
                (kept.map_err(Error::configuration)?, planner.is_done())
            };
            self.told.notify_waiters();
            if is_done {
                self.done.notify_waiters();
            }
            if let Some(Kept {
                keys,
                covers: Some(covers),
            }) = kept
            {
                let last = keys.end.checked_sub(1).filter(|_| !keys.is_empty());
                let part = Part {
                    records: keys.len() as u64,
                    last: last.map(|last| page.key(last).into_owned()),
                    lines: page.into_lines(&keys),
                    covers,
                };
                if parts.send(Ok(part)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Says once that the server lists, but not with the delimiter.
    fn tell_refused(&self) {
        if let Some(why) = self.refused.get()
            && !self.said.swap(true, Relaxed)
        {
            self.context.log.warn(format!(
                "{why}; folders cannot be looked into, so only the names of the keys tell where to \
                 divide the listing, and it is slower"
            ));
        }
    }

    fn planner(&self) -> MutexGuard<'_, Planner> {
        self.planner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a listing can do without what it asked of a folder.
pub fn may_go_on(refusal: &Error) -> bool {
    matches!(
        refusal.kind,
        Kind::Refused | Kind::Configuration | Kind::Unavailable
    )
}

impl Desk {
    pub async fn ask(&self, turn: Permit<'_>, ask: &Ask) -> Result<Page> {
        let size = self.page_size;
        let request = match ask {
            Ask::Page { after, token } => Request {
                prefix: &self.prefix,
                delimiter: None,
                start_after: after.as_deref(),
                token: token.as_deref(),
                size,
            },
            Ask::Children { prefix, after } => Request {
                prefix,
                delimiter: Some("/"),
                start_after: after.as_deref(),
                token: None,
                size,
            },
        };
        self.s3.page(&self.bucket, turn, request).await
    }
}
