//! Writes the pages in the order of their arrival, each with its mark.

use crossbeam_channel::{Receiver, bounded};

use super::export::Export;
use super::pages::{ExportPage, KintoSpan, Pages, TimeUnit};
use super::ranges::Ranges;
use crate::counters::Waiting;
use crate::error::{Error, Kind, Result};
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::record::unit_mark::PartKind;
use crate::resume::{PublishedPage, Publisher, Recorder};

/// A page, and the part of the export that it completes.
type WorkerPage = (ExportPage, KintoSpan);

/// Writes the output, and records it in the state.
pub struct ExportWriter {
    pub publisher: Publisher<Export>,
    unit: TimeUnit,
}

impl ExportWriter {
    pub fn new(recorder: Recorder<Export>, unit: TimeUnit) -> Self {
        Self {
            publisher: Publisher::new(recorder, PartKind::Page),
            unit,
        }
    }

    /// Writes the pages that `workers` read of `gaps`, and ends the run. `before` is the
    /// number of records in `gaps` at its start.
    pub fn write(
        &mut self,
        workers: Vec<Box<dyn Pages>>,
        gaps: &[KintoSpan],
        before: Option<u64>,
        io: &mut Io,
    ) -> Result<()> {
        self.publisher.begin(&mut io.output)?;
        let ranges = Ranges::new(gaps, workers.len());
        let (parts, came) = bounded(workers.len());
        let mut rest = std::thread::scope(|scope| {
            let at_work: Vec<_> = workers
                .into_iter()
                .enumerate()
                .map(|(worker, mut pages)| {
                    let (parts, ranges) = (parts.clone(), &ranges);
                    scope.spawn(move || {
                        while let Some(span) = ranges.take(worker) {
                            let part = pages.page(span).map(|page| {
                                let done = ranges.done(worker, page.ends, page.more);
                                (page, done.unwrap_or(span))
                            });
                            let failed = part.is_err();
                            // The receiver is gone if the writer has failed.
                            if parts.send(part).is_err() || failed {
                                ranges.end();
                                break;
                            }
                        }
                        pages
                    })
                })
                .collect();
            drop(parts);
            let done = self.publish_all(&came, io);
            ranges.end();
            drop(came);
            let ended = at_work.into_iter().filter_map(|worker| worker.join().ok());
            let pages: Vec<_> = ended.collect();
            done.map(|()| pages)
        })?;
        if let Some(pages) = rest.first_mut() {
            self.check(pages.as_mut(), gaps, before)?;
        }
        let through = self
            .publisher
            .recorder
            .read(|exported| exported.source.through.clone());
        let through = through
            .and_then(|through| through.parse().ok())
            .unwrap_or(0);
        let since = self.unit.milliseconds(through);
        self.publisher
            .end(&[("since", since.into())], &mut io.output)?;
        io.context
            .log
            .info(format!("to export later changes, use --since {since}"));
        Ok(())
    }

    /// Publishes all pages. The first error ends the export, after the pages in flight.
    fn publish_all(&mut self, came: &Receiver<Result<WorkerPage>>, io: &mut Io) -> Result<()> {
        let mut failed = Ok(());
        loop {
            let wait = || came.recv();
            match io.context.counters.wait_for(Waiting::Server, wait) {
                Err(_) => return failed,
                Ok(Ok(part)) => {
                    let (page, _) = &part;
                    io.context.counters.add_read(page.records + page.deleted);
                    self.publish(part, io)?;
                }
                Ok(Err(error)) => failed = failed.and(Err(error)),
            }
        }
    }

    fn publish(&mut self, (page, span): WorkerPage, io: &mut Io) -> Result<()> {
        let after = span.after.map(|after| self.unit.format(after));
        let next = Some(self.unit.format(span.through));
        if page.deleted > 0 {
            io.output.drop("deleted", page.deleted);
        }
        io.context.counters.note("pages", 1);
        let records = page.records;
        let page = PublishedPage {
            lines: page.lines,
            records,
            covers: Interval::new(after, next),
        };
        self.publisher.publish(page, &mut io.output, |_| {})?;
        Ok(())
    }

    /// Compares the number of records with the counts of the server. A change moves a record
    /// out of the bounds, so while the export runs the count only decreases.
    fn check(
        &mut self,
        pages: &mut dyn Pages,
        gaps: &[KintoSpan],
        before: Option<u64>,
    ) -> Result<()> {
        let changed = pages.changed()?;
        if self
            .publisher
            .recorder
            .read(|exported| exported.source.is_before(changed))
        {
            return self.start_over(Error::configuration(format!(
                "{}: it was recreated, or its settings were changed, during the export, so \
                 records of both may be mixed; export it from the start",
                pages.place()
            )));
        }
        let now = match count(pages, gaps) {
            Err(error) if error.kind == Kind::Configuration => return self.start_over(error),
            now => now?,
        };
        let Some((before, now)) = before.zip(now) else {
            return Ok(());
        };
        if (now.min(before)..=before.max(now)).contains(&self.publisher.records()) {
            return Ok(());
        }
        self.start_over(Error::unavailable(format!(
            "{}: the server has {now} records, but {} were exported; run again, or read its \
             --kinto-database",
            pages.place(),
            self.publisher.records()
        )))
    }

    /// Returns `error`, and makes the next run start over: if it resumed this one, it would
    /// omit the missing records again.
    fn start_over(&self, error: Error) -> Result<()> {
        let recorder = &self.publisher.recorder;
        recorder.record(|exported| {
            exported.finished = true;
            exported.closed = true;
        })?;
        Err(error)
    }
}

/// Returns how many records are in `spans`; `None` if the source does not know.
pub fn count(pages: &mut dyn Pages, spans: &[KintoSpan]) -> Result<Option<u64>> {
    let counts = spans.iter().map(|span| pages.count(*span));
    let counts: Option<Vec<u64>> = counts.collect::<Result<_>>()?;
    Ok(counts.map(|counts| counts.iter().sum()))
}
