//! Writes the listed pages in the order of their arrival, or sorted, each with its mark.

use super::Args;
use super::ordered::Ordered;
use super::worker_pool::{ListedPage, WorkerPool};
use crate::counters::Waiting;
use crate::error::Result;
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::record::unit_mark::PartKind;
use crate::resume::{ListingSource, PublishedPage, Publisher, Recorder};

/// Writes what the workers list.
pub struct ListingWriter<'a> {
    args: &'a Args,
    publisher: Publisher<ListingSource>,
}

impl<'a> ListingWriter<'a> {
    pub fn new(args: &'a Args, recorder: Recorder) -> Self {
        Self {
            args,
            publisher: Publisher::new(recorder, PartKind::Listed),
        }
    }

    /// Writes the begin mark.
    ///
    /// # Errors
    /// The output is closed.
    pub fn begin(&self, io: &mut Io) -> Result<()> {
        self.publisher.begin(&mut io.output)
    }

    /// Publishes the pages that `pool` lists of `gaps`, and ends the run.
    pub fn list(&mut self, mut pool: WorkerPool, gaps: &[Interval], io: &mut Io) -> Result<()> {
        let done = self.publish_all(&mut pool, gaps, io);
        pool.shutdown();
        done?;
        let url = self.args.url();
        if self.publisher.recorder.read(|listed| listed.records) == 0 && !url.prefix.is_empty() {
            let place = format!("s3://{}/{}", url.bucket, url.prefix);
            io.context
                .log
                .warn(format!("{place}: no key begins with this prefix"));
        }
        self.publisher.end(&[], &mut io.output)
    }

    fn publish_all(&mut self, pool: &mut WorkerPool, gaps: &[Interval], io: &mut Io) -> Result<()> {
        let mut notice = Some(io.context.log.notify_if_slow(format!(
            "listing s3://{}/{}",
            self.args.url().bucket,
            self.args.url().prefix
        )));
        let mut ordered = self.args.ordered.then(|| Ordered::new(gaps));
        let mut failed = Ok(());
        loop {
            let page = (io.context.counters).wait_for(Waiting::Server, || pool.next());
            drop(notice.take());
            match page {
                None => return failed,
                Some(Ok(page)) => {
                    io.context.counters.add_read(page.records);
                    match &mut ordered {
                        None => self.publish(page, io)?,
                        Some(ordered) => {
                            ordered.push(page)?;
                            while let Some(page) = ordered.pop()? {
                                self.publish(page, io)?;
                            }
                        }
                    }
                }
                Some(Err(error)) => {
                    pool.close();
                    failed = failed.and(Err(error));
                }
            }
        }
    }

    fn publish(&mut self, page: ListedPage, io: &mut Io) -> Result<()> {
        io.context.counters.note("pages", 1);
        let (last, records) = (page.last, page.records);
        let page = PublishedPage {
            lines: page.lines,
            records,
            covers: page.covers,
        };
        self.publisher.publish(page, &mut io.output, |state| {
            if let Some(last) = &last {
                state.sample.add(last, records);
            }
        })
    }

    /// Returns `done`; if the run failed, records how it ended, and adds to the error how to
    /// resume it.
    pub fn conclude(&mut self, done: Result<()>, io: &Io) -> Result<()> {
        let path = self.args.state.resume_file.as_deref();
        self.publisher.recorder.conclude(done, path, io)
    }
}
