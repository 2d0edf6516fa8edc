//! The listing itself: page after page, gap after gap.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Args;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::log::Patience;
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::record::mark;
use crate::remote::s3::{Listed as Object, Page, Request, S3};
use crate::resume::{Listed, StateFile};
use crate::tally::Waiting;

/// A listing at work.
pub struct Lister<'a> {
    args: &'a Args,
    runtime: Runtime,
    s3: S3,
    file: Option<StateFile>,
    listed: Listed,
    /// Of this process, not of the whole run.
    records: u64,
    pages: u64,
    last_request: Option<Instant>,
}

impl<'a> Lister<'a> {
    pub fn new(
        args: &'a Args,
        runtime: Runtime,
        s3: S3,
        file: Option<StateFile>,
        listed: Listed,
    ) -> Self {
        Self {
            args,
            runtime,
            s3,
            file,
            listed,
            records: 0,
            pages: 0,
            last_request: None,
        }
    }

    /// Lists the gaps of the run, and ends it.
    pub fn list(&mut self, io: &mut Io) -> Result<()> {
        let mut patience = Some(io.log.patience(format!(
            "listing s3://{}/{}",
            self.args.url.bucket, self.args.url.prefix
        )));
        for gap in self.listed.coverage.gaps(&self.listed.source.whole()) {
            self.list_gap(gap, &mut patience, io)?;
        }
        let mut line = Vec::new();
        let counts = [("records", self.records), ("pages", self.pages)];
        mark::write_end(&self.listed.run, &counts, &mut line);
        io.seam.write(&line)?;
        io.seam.flush()?;
        self.listed.finished = true;
        self.save()
    }

    fn list_gap(
        &mut self,
        gap: Interval,
        patience: &mut Option<Patience>,
        io: &mut Io,
    ) -> Result<()> {
        let mut after = gap.after;
        let mut token: Option<String> = None;
        let mut out = Vec::new();
        loop {
            let Page { mut objects, next } = self.page(after.as_deref(), token.as_deref(), io)?;
            *patience = None;
            check_order(after.as_deref(), &objects)?;
            let answered = objects.len();
            if let Some(through) = &gap.through {
                objects.retain(|object| object.key <= *through);
            }
            let reached = gap.through.is_some()
                && objects.last().map(|object| &object.key) == gap.through.as_ref();
            let finished = next.is_none() || reached || objects.len() < answered;
            if !finished && next == token {
                return Err(stuck("the same continuation token comes again"));
            }
            let through = if finished {
                gap.through.clone()
            } else {
                objects
                    .last()
                    .map(|object| object.key.clone())
                    .or_else(|| after.clone())
            };
            out.clear();
            for object in &objects {
                write_record(&self.args.url.bucket, object, &mut out);
            }
            // An empty page that is not the last one covers nothing.
            let covers = finished || through != after;
            if covers {
                mark::write_listed(
                    &self.listed.run,
                    after.as_deref(),
                    through.as_deref(),
                    &mut out,
                );
            }
            self.count(objects.len(), io);
            io.seam.write(&out)?;
            io.seam.settle()?;
            if covers {
                let part = Interval::new(after, through.clone());
                self.listed.coverage.insert(part);
            }
            self.save()?;
            if finished {
                return Ok(());
            }
            after = through;
            token = next;
        }
    }

    fn page(&mut self, after: Option<&str>, token: Option<&str>, io: &Io) -> Result<Page> {
        let request = Request {
            bucket: &self.args.url.bucket,
            prefix: &self.args.url.prefix,
            start_after: after,
            token,
            size: self.args.page_size,
        };
        let (last, rate) = (self.last_request, self.args.max_rps);
        io.tally.waits(Waiting::Server);
        let page = self.runtime.block_on(async {
            if let (Some(last), Some(rate)) = (last, rate) {
                let next = last + Duration::from_secs_f64(1.0 / rate);
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    stop = io.stop.asked() => return Err(stop),
                }
            }
            self.last_request = Some(Instant::now());
            self.s3.page(request).await
        });
        io.tally.waits(Waiting::Nothing);
        page
    }

    fn count(&mut self, records: usize, io: &Io) {
        let records = records as u64;
        io.tally.read(records);
        io.tally.written(records);
        io.tally.note("pages", 1);
        self.records += records;
        self.pages += 1;
        self.listed.records += records;
        self.listed.pages += 1;
    }

    fn save(&mut self) -> Result<()> {
        match &mut self.file {
            Some(file) => file.save(&self.listed),
            None => Ok(()),
        }
    }

    /// Notes in the state how the run ended, and says how to go on.
    pub fn explain(&mut self, error: &Error, io: &Io) -> Result<()> {
        // What a reader holds when a pipeline is stopped may be lost with it.
        if matches!(error.kind, Kind::Signal(_)) && !io.seam.is_file() {
            self.listed.broken_pipe = true;
            self.save()?;
        }
        let passes = matches!(
            error.kind,
            Kind::Signal(_) | Kind::Unavailable | Kind::LocalIo | Kind::EndedEarly
        );
        if let Some(path) = self.args.resume_file.as_ref().filter(|_| passes) {
            io.log.info(format!(
                "to go on: run the same pipeline again with --resume-file {} --resume",
                path.display()
            ));
        }
        Ok(())
    }
}

/// Keys have to come behind `after`, in byte order.
fn check_order(after: Option<&str>, objects: &[Object]) -> Result<()> {
    let mut last = after;
    for object in objects {
        if last.is_some_and(|last| object.key.as_str() <= last) {
            let asked = after == last;
            return Err(stuck(&format!(
                "asked for keys behind {:?}, got {:?}: {}",
                last.unwrap_or_default(),
                object.key,
                if asked {
                    "it ignores start-after or the continuation token"
                } else {
                    "its keys are not in byte order"
                }
            )));
        }
        last = Some(&object.key);
    }
    Ok(())
}

fn stuck(what: &str) -> Error {
    Error::configuration(format!(
        "no progress: the server's listing cannot be relied on: {what}"
    ))
}

/// Appends the record of a listed object.
fn write_record(bucket: &str, object: &Object, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"bucket\":");
    json::write_str(bucket, out);
    out.extend_from_slice(b",\"key\":");
    json::write_str(&object.key, out);
    if let Some(etag) = &object.etag {
        out.extend_from_slice(b",\"etag\":");
        json::write_str(etag, out);
    }
    if let Some(size) = object.size {
        out.extend_from_slice(b",\"size\":");
        out.extend_from_slice(size.to_string().as_bytes());
    }
    if let Some(time) = &object.last_modified {
        out.extend_from_slice(b",\"last_modified\":");
        json::write_str(time, out);
    }
    out.extend_from_slice(b"}\n");
}
