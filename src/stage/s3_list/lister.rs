//! The listing itself: parts as they come, each with its mark.

use super::Args;
use super::ordered::Ordered;
use super::worker_pool::{ListedPage, WorkerPool};
use crate::counters::Waiting;
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::record::mark;
use crate::resume::Recorder;

/// A listing at work.
pub struct Lister<'a> {
    args: &'a Args,
    recorder: Recorder,
    run: String,
    /// Of this process, not of the whole run.
    records: u64,
    pages: u64,
}

impl<'a> Lister<'a> {
    pub fn new(args: &'a Args, recorder: Recorder) -> Self {
        Self {
            args,
            run: recorder.read(|listed| listed.run.clone()),
            recorder,
            records: 0,
            pages: 0,
        }
    }

    /// Hands on what `pool` lists of `gaps`, and ends the run.
    pub fn list(&mut self, mut pool: WorkerPool, gaps: &[Interval], io: &mut Io) -> Result<()> {
        let done = self.hand_on_all(&mut pool, gaps, io);
        pool.shutdown();
        done?;
        let url = self.args.url();
        if self.recorder.read(|listed| listed.records) == 0 && !url.prefix.is_empty() {
            let place = format!("s3://{}/{}", url.bucket, url.prefix);
            io.context
                .log
                .warn(format!("{place}: no key was found that begins with it"));
        }
        let counts = [("records", self.records), ("pages", self.pages)];
        self.recorder.end(&counts, &mut io.output)
    }

    fn hand_on_all(&mut self, pool: &mut WorkerPool, gaps: &[Interval], io: &mut Io) -> Result<()> {
        let mut patience = Some(io.context.log.notify_if_slow(format!(
            "listing s3://{}/{}",
            self.args.url().bucket,
            self.args.url().prefix
        )));
        let mut ordered = self.args.ordered.then(|| Ordered::new(gaps));
        let mut failed = Ok(());
        loop {
            io.context.counters.waits(Waiting::Server);
            let part = pool.next();
            io.context.counters.waits(Waiting::Nothing);
            drop(patience.take());
            match part {
                None => return failed,
                Some(Ok(part)) => match &mut ordered {
                    None => self.hand_on(part, io)?,
                    Some(ordered) => {
                        ordered.push(part)?;
                        while let Some(part) = ordered.pop()? {
                            self.hand_on(part, io)?;
                        }
                    }
                },
                Some(Err(error)) => {
                    pool.close();
                    failed = failed.and(Err(error));
                }
            }
        }
    }

    fn hand_on(&mut self, mut part: ListedPage, io: &mut Io) -> Result<()> {
        let Interval { after, through } = &part.covers;
        mark::write_listed(
            &self.run,
            after.as_deref(),
            through.as_deref(),
            &mut part.lines,
        );
        io.context.counters.add_read(part.records);
        io.context.counters.add_written(part.records);
        io.context.counters.note("pages", 1);
        self.records += part.records;
        self.pages += 1;
        io.output.write(&part.lines)?;
        io.output.flush()?;
        self.recorder.record(|listed| {
            listed.records += part.records;
            listed.pages += 1;
            if let Some(last) = &part.last {
                listed.sample.add(last, part.records);
            }
            listed.coverage.insert(part.covers);
        })
    }

    /// Notes in the state how the run ended, and logs how to resume it.
    pub fn print_resume_hint(&mut self, error: &Error, io: &Io) -> Result<()> {
        let path = self.args.state.resume_file.as_deref();
        self.recorder.print_resume_hint(error, path, io)
    }
}
