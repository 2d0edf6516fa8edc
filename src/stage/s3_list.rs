//! s3-list: a record for each key of a bucket, a mark for each page.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use signal_hook::consts::SIGPIPE;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::{AFTER_HELP, HELP};
use crate::cli::{Program, SharedArgs};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::log::Patience;
use crate::ndjson::Io;
use crate::record::coverage::{Coverage, Interval};
use crate::record::mark;
use crate::remote::s3::{Listed as Object, Page, Request, S3, S3Args};
use crate::resume::{self, Listed, Loaded, Source, StateFile};
use crate::tally::Waiting;

/// List the keys of a bucket, a record each
#[derive(Debug, Parser)]
#[command(
    name = "s3-list",
    version,
    help_template = HELP,
    after_help = AFTER_HELP,
    before_help = "\
Examples:
  s3-list --no-sign-request s3://bucket/pub/firefox/ | jq -r .key
  s3-list --resume-file list.json --resume s3://bucket/ | bh-filter | bh-fetch |
    bh-validate | bh-load --resume-file list.json
  s3-list --resume-file list.json --resume s3://bucket/ | gzip >> keys.ndjson.gz"
)]
pub struct Args {
    /// What to list: s3://bucket or s3://bucket/prefix
    #[arg(value_name = "URL", value_parser = address)]
    url: Address,

    /// Keep the state of the listing here, after each page
    #[arg(long, value_name = "FILE")]
    resume_file: Option<PathBuf>,

    /// Go on where an earlier run stopped; begin anew when it had finished
    #[arg(long, requires = "resume_file")]
    resume: bool,

    /// Go on from what was listed, or from what bh-load confirmed
    #[arg(long, value_enum, requires = "resume")]
    checkpoint: Option<Checkpoint>,

    /// List only keys behind this one, in byte order
    #[arg(long, value_name = "KEY")]
    after: Option<String>,

    /// List only keys up to and with this one
    #[arg(long, value_name = "KEY")]
    through: Option<String>,

    /// Keys to ask for at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    page_size: u16,

    /// Requests a second at most
    #[arg(long, value_name = "N", value_parser = rate)]
    max_rps: Option<f64>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const READS_LINES: bool = false;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }
}

#[derive(Debug, Clone)]
struct Address {
    bucket: String,
    prefix: String,
}

fn address(url: &str) -> Result<Address, String> {
    let rest = url
        .strip_prefix("s3://")
        .ok_or("expected s3://bucket or s3://bucket/prefix")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err("the bucket's name is missing".to_owned());
    }
    Ok(Address {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if f64::is_finite(rate) && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Checkpoint {
    Listed,
    Loaded,
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::local("threads", &error))?;
    let s3 = runtime.block_on(S3::open(&args.s3, &io.log, &io.stop, &io.tally))?;
    let source = Source {
        endpoint: s3.endpoint().map(str::to_owned),
        bucket: args.url.bucket.clone(),
        prefix: args.url.prefix.clone(),
        after: args.after.clone(),
        through: args.through.clone(),
    };
    let (file, listed) = open_state(args, &source, io)?;
    let mut lister = Lister {
        args,
        runtime,
        s3,
        file,
        listed,
        records: 0,
        pages: 0,
        last_request: None,
    };
    let done = lister.list(io);
    if let Err(error) = &done {
        lister.explain(error, io)?;
    }
    done
}

/// The state to go on with, and its file.
fn open_state(args: &Args, source: &Source, io: &Io) -> Result<(Option<StateFile>, Listed)> {
    let fresh = Listed::new(source.clone());
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let (mut file, mut listed) = StateFile::open(path, &fresh)?;
    if listed.source != *source {
        return Err(Error::configuration(format!(
            "{}: holds the state of another listing ({}); use another --resume-file, or remove it",
            path.display(),
            told(&listed.source)
        )));
    }
    if listed == fresh {
        io.log.info(format!("{}: a new run begins", path.display()));
        return Ok((Some(file), listed));
    }
    if args.resume {
        let loaded = resume::peek(&resume::loaded_path(path))?;
        let (coverage, why) = decide(&listed, loaded.as_ref(), args.checkpoint);
        match coverage {
            Some(coverage) => listed.coverage = coverage,
            None => listed = fresh,
        }
        listed.broken_pipe = false;
        io.log.info(format!("{}: {why}", path.display()));
    } else {
        listed = fresh;
    }
    file.save(&listed)?;
    Ok((Some(file), listed))
}

fn told(source: &Source) -> String {
    let endpoint = source.endpoint.as_deref().unwrap_or("AWS");
    let bound = |name: &str, key: &Option<String>| {
        key.as_ref()
            .map_or_else(String::new, |key| format!(" {name} {key:?}"))
    };
    format!(
        "s3://{}/{} at {endpoint}{}{}",
        source.bucket,
        source.prefix,
        bound("after", &source.after),
        bound("through", &source.through)
    )
}

/// What of a run is taken as done, `None` for a new run; and why.
fn decide(
    listed: &Listed,
    loaded: Option<&Loaded>,
    checkpoint: Option<Checkpoint>,
) -> (Option<Coverage>, String) {
    let run = &listed.run;
    if listed.finished {
        return (None, format!("run {run} is finished: a new run begins"));
    }
    if checkpoint == Some(Checkpoint::Listed) {
        let why = format!("run {run} goes on from what was listed, as asked");
        return (Some(listed.coverage.clone()), why);
    }
    let from_start = |because: &str| {
        let why = format!("run {run} goes on from its start: {because}");
        (Some(Coverage::default()), why)
    };
    match loaded {
        Some(loaded) if loaded.run.as_ref() == Some(run) => (
            Some(loaded.coverage.clone()),
            format!("run {run} goes on from what the loader has confirmed"),
        ),
        Some(_) => from_start("the loader has confirmed nothing of it"),
        None if checkpoint == Some(Checkpoint::Loaded) => {
            from_start("no loader has confirmed anything")
        }
        None if listed.broken_pipe => {
            from_start("its reader left, and no loader has confirmed anything")
        }
        None if listed.coverage.is_empty() => from_start("nothing was listed yet"),
        None => (
            Some(listed.coverage.clone()),
            format!("run {run} goes on from what was listed"),
        ),
    }
}

struct Lister<'a> {
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

impl Lister<'_> {
    fn list(&mut self, io: &mut Io) -> Result<()> {
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
            if finished || through != after {
                mark::write_listed(
                    &self.listed.run,
                    after.as_deref(),
                    through.as_deref(),
                    &mut out,
                );
            }
            self.count(objects.len(), io);
            io.seam.write(&out)?;
            io.seam.flush()?;
            self.listed
                .coverage
                .insert(Interval::new(after, through.clone()));
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
    fn explain(&mut self, error: &Error, io: &Io) -> Result<()> {
        if error.kind == Kind::Signal(SIGPIPE) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            endpoint: None,
            bucket: "b".to_owned(),
            prefix: String::new(),
            after: None,
            through: None,
        }
    }

    fn part(through: &str) -> Interval {
        Interval::new(None, Some(through.to_owned()))
    }

    fn listed() -> Listed {
        let mut listed = Listed::new(source());
        listed.coverage.insert(part("m"));
        listed
    }

    fn confirmed(run: &str) -> Loaded {
        let mut loaded = Loaded::default();
        loaded.fold(run, part("c"));
        loaded
    }

    fn taken(
        listed: &Listed,
        loaded: Option<&Loaded>,
        asked: Option<Checkpoint>,
    ) -> Option<Coverage> {
        decide(listed, loaded, asked).0
    }

    #[test]
    fn what_a_resumed_run_takes_as_done() {
        let run = listed();
        let nothing = Some(Coverage::default());
        let same = confirmed(&run.run);
        let other = confirmed("another");
        let untouched = Loaded::default();
        assert_eq!(taken(&run, Some(&same), None), Some(same.coverage.clone()));
        assert_eq!(taken(&run, Some(&other), None), nothing);
        assert_eq!(taken(&run, Some(&untouched), None), nothing);
        assert_eq!(taken(&run, None, None), Some(run.coverage.clone()));
        assert_eq!(taken(&run, None, Some(Checkpoint::Loaded)), nothing);
        let asked = Some(Checkpoint::Listed);
        assert_eq!(taken(&run, Some(&same), asked), Some(run.coverage.clone()));
        let mut broken = listed();
        broken.broken_pipe = true;
        assert_eq!(taken(&broken, None, None), nothing);
        assert_eq!(
            taken(&broken, Some(&confirmed(&broken.run)), None),
            Some(same.coverage)
        );
        let mut finished = listed();
        finished.finished = true;
        assert_eq!(
            taken(&finished, Some(&confirmed(&finished.run)), None),
            None
        );
    }
}
