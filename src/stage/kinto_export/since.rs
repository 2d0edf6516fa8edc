//! Where an export of changes begins: at a time, or where the last run ended.

use std::time::Duration;

use super::Args;
use super::export::Export;
use super::pages::TimeUnit;
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::resume::{self, RunState};
use crate::values;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Last,
    /// Milliseconds since 1970.
    At(u64),
}

/// Parses the value of the flag.
pub fn parse(text: &str) -> Result<Since, String> {
    match text {
        "last" => Ok(Since::Last),
        time => values::timestamp(time)
            .map(Since::At)
            .map_err(|expected| format!("{expected}, or last")),
    }
}

/// The run in the resume file, before this one.
pub struct LastExport {
    pub state: RunState<Export>,
    /// All of it is exported and, where a loader takes part, confirmed.
    is_done: bool,
}

impl LastExport {
    /// Reads what `--since last` follows; `None` if that was not asked for, or no run was before.
    ///
    /// # Errors
    /// There is no resume file to read (2), or it is damaged (78).
    pub fn read(args: &Args) -> Result<Option<Self>> {
        if args.since != Some(Since::Last) {
            return Ok(None);
        }
        let Some(path) = &args.state.resume_file else {
            return Err(Error::usage(
                "--since last follows the run in a resume file: name it with --resume-file",
            ));
        };
        let last = resume::last_run(path)?;
        Ok(last.map(|(state, is_done)| Self { state, is_done }))
    }

    /// Begins a new run where this one ended, by a margin earlier. One that is resumed, and one
    /// after a run that was not stored whole, begins where this one began; a collection that was
    /// created again, or whose settings have changed, is exported whole. Returns the beginning.
    pub fn follow(
        &self,
        exported: &mut RunState<Export>,
        changed: Option<u64>,
        (unit, margin): (TimeUnit, Duration),
        io: &Io,
    ) -> Result<Option<String>> {
        let log = &io.context.log;
        let last = &self.state;
        if last.source.is_before(changed) {
            if exported.run != last.run {
                log.info(format!(
                    "the collection was recreated, or its settings were changed, since run {}: \
                     exporting everything",
                    last.run
                ));
                exported.source.since = None;
            }
            return Ok(None);
        }
        if exported.run == last.run || !self.is_done {
            return Ok(last.source.since.clone());
        }
        let through = last.source.through.as_deref();
        let since = through.and_then(|through| unit.before(through, margin));
        let since = since.ok_or_else(|| {
            Error::configuration(format!(
                "the end of run {} is not a time; delete the resume file to start over",
                last.run
            ))
        })?;
        log.info(format!(
            "exporting what has changed since the end of run {}, and within {} s before",
            last.run,
            margin.as_secs()
        ));
        exported.source.since = Some(since.clone());
        Ok(Some(since))
    }
}
