//! Pages as they come, each with its mark.

use crossbeam_channel::{Receiver, bounded};

use super::export::Export;
use super::pages::{ExportPage, KintoSpan, Pages, Scale};
use super::ranges::Ranges;
use crate::counters::Waiting;
use crate::error::{Error, Kind, Result};
use crate::metrics::Metrics;
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::resume::{PageMark, PublishedPage, Publisher, Recorder};

/// A page, and the part of the export that it is.
type Part = (ExportPage, KintoSpan);

pub struct ExportWriter {
    pub publisher: Publisher<Export>,
    scale: Scale,
    metrics: Metrics,
}

impl ExportWriter {
    pub fn new(recorder: Recorder<Export>, scale: Scale) -> Self {
        Self {
            publisher: Publisher::new(recorder, PageMark::Page),
            scale,
            metrics: Metrics::from_environment(),
        }
    }

    /// Writes what `workers` get of `gaps`, which held `before` records, and
    /// ends the run.
    pub fn write(
        &mut self,
        workers: Vec<Box<dyn Pages>>,
        gaps: &[KintoSpan],
        before: Option<u64>,
        io: &mut Io,
    ) -> Result<()> {
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
                            // A writer that failed takes nothing any more.
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
            let done = self.hand_on_all(&came, io);
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
        let since = self.scale.milliseconds(through);
        self.publisher.end(&[("since", since)], &mut io.output)?;
        io.context.log.info(format!(
            "what changes from now on comes with --since {since}"
        ));
        Ok(())
    }

    /// The first error ends the export; what is at work then is waited for,
    /// and handed on.
    fn hand_on_all(&mut self, came: &Receiver<Result<Part>>, io: &mut Io) -> Result<()> {
        let mut failed = Ok(());
        loop {
            let wait = || came.recv();
            match io.context.counters.wait_for(Waiting::Server, wait) {
                Err(_) => return failed,
                Ok(Ok(part)) => {
                    let (page, _) = &part;
                    io.context.counters.add_read(page.records + page.deleted);
                    self.hand_on(part, io)?;
                }
                Ok(Err(error)) => failed = failed.and(Err(error)),
            }
        }
    }

    fn hand_on(&mut self, (page, span): Part, io: &mut Io) -> Result<()> {
        let after = span.after.map(|after| self.scale.text(after));
        let next = Some(self.scale.text(span.through));
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
        self.metrics.incr("kinto_migrated", records);
        Ok(())
    }

    /// What came has to be what the server counts: while records are only
    /// added and changed, it counts fewer and fewer within the bounds.
    fn check(
        &mut self,
        pages: &mut dyn Pages,
        gaps: &[KintoSpan],
        before: Option<u64>,
    ) -> Result<()> {
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
            "{}: the server counts {now} records, and {} came; run again, or read its --database",
            pages.place(),
            self.publisher.records()
        )))
    }

    /// Fails with `error`, and lets the next run begin from the start: to resume this one
    /// would be to leave out again what did not come.
    fn start_over(&self, error: Error) -> Result<()> {
        let recorder = &self.publisher.recorder;
        recorder.record(|exported| exported.finished = true)?;
        Err(error)
    }
}

/// How many records are in `spans`, where that can be asked.
pub fn count(pages: &mut dyn Pages, spans: &[KintoSpan]) -> Result<Option<u64>> {
    let counts = spans.iter().map(|span| pages.count(*span));
    let counts: Option<Vec<u64>> = counts.collect::<Result<_>>()?;
    Ok(counts.map(|counts| counts.iter().sum()))
}
