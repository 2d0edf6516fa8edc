//! The workers: each asks the planner for a request, sends it, and passes the
//! accepted keys to the writer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::listing::{InconsistentListing, Page, Planner, Request, RequestId, ResponseKeys};
use crate::ndjson::{Io, Output};
use crate::record::coverage::Interval;
use crate::remote::concurrency::Permit;
use crate::remote::s3::{Bucket, ListQuery, S3};

/// The accepted records of one page, and the interval that they complete.
pub struct ListedPage {
    pub lines: Vec<u8>,
    pub records: u64,
    /// The last key, if there is one.
    pub last: Option<String>,
    pub covers: Interval,
}

/// Pages that may wait for the writer, besides one per worker.
const QUEUED_PAGES: usize = 8;

/// Workers that list in the background.
pub struct WorkerPool {
    runtime: Runtime,
    pages: mpsc::Receiver<Result<ListedPage>>,
}

/// Sends listing requests to one bucket.
pub struct BucketClient {
    pub s3: S3,
    pub bucket: Bucket,
    pub prefix: String,
    pub page_size: u16,
}

/// A response to a listing request.
pub enum Response {
    Page(Page),
    /// The server does not list with a delimiter, or with a longer prefix; the listing
    /// continues without.
    Rejected(Error),
}

/// The state that the workers share.
pub struct Shared {
    client: Arc<BucketClient>,
    planner: Mutex<Planner>,
    /// Notified after every response.
    responded: Notify,
    /// Notified when all keys are listed: probes still in flight are not needed.
    done: Notify,
    /// Why the server rejects listings with a delimiter, as the start of a warning, and whether
    /// that was logged.
    rejection: OnceLock<String>,
    rejection_logged: AtomicBool,
    context: Context,
}

impl WorkerPool {
    /// Starts `workers` tasks on `runtime`. They end when the reader of `output` leaves.
    pub fn start(runtime: Runtime, shared: Shared, workers: usize, output: &Output) -> Self {
        let (sender, pages) = mpsc::channel(QUEUED_PAGES);
        let weak = sender.downgrade();
        output.when_reader_leaves(move |error| {
            if let Some(sender) = weak.upgrade() {
                drop(sender.blocking_send(Err(error)));
            }
        });
        let shared = Arc::new(shared);
        for _ in 0..workers {
            let (shared, sender) = (Arc::clone(&shared), sender.clone());
            runtime.spawn(async move {
                if let Err(error) = shared.work(&sender).await {
                    // The channel is closed once another worker has failed.
                    drop(sender.send(Err(error)).await);
                }
            });
        }
        Self { runtime, pages }
    }

    /// Blocks until a page is listed, in no order; returns `None` when all are.
    pub fn next(&mut self) -> Option<Result<ListedPage>> {
        self.pages.blocking_recv()
    }

    /// Stops the workers; [`Self::next`] still returns the pages listed by now.
    pub fn close(&mut self) {
        self.pages.close();
    }

    /// Drops the runtime without waiting for requests in flight.
    pub fn shutdown(self) {
        self.runtime.shutdown_background();
    }
}

impl Shared {
    pub fn new(client: Arc<BucketClient>, planner: Planner, io: &Io) -> Self {
        Self {
            client,
            planner: planner.into(),
            responded: Notify::new(),
            done: Notify::new(),
            rejection: OnceLock::new(),
            rejection_logged: AtomicBool::new(false),
            context: io.context.clone(),
        }
    }

    /// Lists until all keys are listed, or the receiver of `pages` is closed.
    async fn work(&self, pages: &mpsc::Sender<Result<ListedPage>>) -> Result<()> {
        while !pages.is_closed() {
            let (responded, done) = (self.responded.notified(), self.done.notified());
            let permit = tokio::select! {
                permit = self.client.bucket.permit() => permit,
                stop = self.context.shutdown.cancelled() => return Err(stop),
            };
            let next = {
                let mut planner = self.planner.lock();
                if planner.is_done() {
                    return Ok(());
                }
                planner.next_request()
            };
            let Some((id, request)) = next else {
                drop(permit);
                tokio::select! {
                    () = responded => continue,
                    () = pages.closed() => return Ok(()),
                    stop = self.context.shutdown.cancelled() => return Err(stop),
                }
            };
            let response = tokio::select! {
                response = self.client.list(permit, &request) => response,
                () = done => return Ok(()),
                () = pages.closed() => return Ok(()),
            };
            self.context.counters.note("requests", 1);
            let listed = match response? {
                Response::Page(page) => self.take_page(id, &request, page)?,
                Response::Rejected(error) => {
                    self.take_rejection(id, &request, &error);
                    continue;
                }
            };
            for page in listed {
                if pages.send(Ok(page)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Gives the planner a response; returns what it accepts, a page per interval that is
    /// complete.
    ///
    /// # Errors
    /// The listing is inconsistent (78).
    fn take_page(&self, id: RequestId, request: &Request, page: Page) -> Result<Vec<ListedPage>> {
        self.log_rejection();
        let (accepted, warnings, is_done) = {
            let mut planner = self.planner.lock();
            let accepted = match request {
                Request::Page { .. } => planner
                    .page(id, &page, page.next())
                    .map(|accepted| (accepted.keys, Vec::from_iter(accepted.covers))),
                Request::Children { .. } => planner
                    .children(id, &page.prefixes, &page, page.next())
                    .map(|done| (0..0, done)),
            };
            (accepted, planner.take_warnings(), planner.is_done())
        };
        self.log_contradictions(&warnings);
        let (keys, covers) = accepted.map_err(|error| self.inconsistent(&error))?;
        self.responded.notify_waiters();
        if is_done {
            self.done.notify_waiters();
        }
        let last = keys.end.checked_sub(1).filter(|_| !keys.is_empty());
        let mut last = last.map(|last| page.key(last).into_owned());
        let (mut records, mut lines) = (keys.len() as u64, page.into_lines(&keys));
        let pages = covers.into_iter().map(|covers| ListedPage {
            records: std::mem::take(&mut records),
            last: last.take(),
            lines: std::mem::take(&mut lines),
            covers,
        });
        Ok(pages.collect())
    }

    /// Tells the planner that the server rejects such requests.
    fn take_rejection(&self, id: RequestId, request: &Request, error: &Error) {
        if let Request::Page { .. } = request {
            self.planner.lock().prefix_rejected(id);
        } else {
            self.planner.lock().delimiter_rejected(id);
            let _ = self.rejection.set(self.client.without_delimiter(error));
        }
        self.responded.notify_waiters();
    }

    /// Warns once that the server lists, but not with a delimiter. Until a page has
    /// arrived, the server may be rejecting every request.
    fn log_rejection(&self) {
        if let Some(why) = self.rejection.get()
            && !self.rejection_logged.swap(true, Relaxed)
        {
            self.context.log.warn(format!(
                "{why}, which is slower where keys are named unevenly"
            ));
        }
    }

    fn log_contradictions(&self, contradictions: &[String]) {
        for contradiction in contradictions {
            let place = self.client.place();
            self.context
                .log
                .warn(format!("listing {place}: {contradiction}"));
            self.context.counters.note("contradictions", 1);
        }
    }

    fn inconsistent(&self, error: &InconsistentListing) -> Error {
        Error::configuration(format!("cannot list {}: {error}", self.client.place())).then(
            "try --concurrency 1, which follows the server's own tokens, or report it to those \
             who run the server",
        )
    }
}

impl BucketClient {
    fn place(&self) -> String {
        self.s3.place(&self.bucket.name, &self.prefix)
    }

    /// Returns the warning that the listing goes without a delimiter, which `error` says
    /// the server rejects.
    pub fn without_delimiter(&self, error: &Error) -> String {
        let why = match error.kind {
            Kind::Refused => {
                let place = self.place();
                format!("{place}: listing with a delimiter is not allowed")
            }
            _ => error.to_string(),
        };
        format!("{why}; continuing without a delimiter")
    }

    /// Sends a listing request. The listing needs neither a delimiter nor a longer prefix
    /// than its own, so their rejection is a response rather than an error.
    pub async fn list(&self, permit: Permit<'_>, request: &Request) -> Result<Response> {
        let size = self.page_size;
        let query = match request {
            Request::Page {
                prefix,
                after,
                token,
            } => ListQuery {
                prefix,
                delimiter: None,
                start_after: after.as_deref(),
                token: token.as_deref(),
                size,
            },
            Request::Children { prefix, after } => ListQuery {
                prefix,
                delimiter: Some("/"),
                start_after: after.as_deref(),
                token: None,
                size,
            },
        };
        match self.s3.page(&self.bucket, permit, query).await {
            Err(error) if is_optional(&error, query.delimiter, query.prefix != self.prefix) => {
                Ok(Response::Rejected(error))
            }
            page => page.map(Response::Page),
        }
    }
}

/// Returns whether the listing can continue without a request that failed.
fn is_optional(error: &Error, delimiter: Option<&str>, narrowed: bool) -> bool {
    match error.kind {
        Kind::Refused => delimiter.is_some() || narrowed,
        Kind::Configuration | Kind::Unavailable => delimiter.is_some(),
        _ => false,
    }
}
