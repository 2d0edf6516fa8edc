//! The process around a stage: arguments, streams, signals, exit status and the last line on
//! standard error. No other module exits.

mod args;
mod help;
mod streams;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Command, Parser};
use rustix::fs::{FileType, Stat, fstat, stat};

pub use self::args::{InputArgs, SharedArgs, ShowProgress, SinkArgs, WaitArgs};
use crate::context::Context;
use crate::counters::Counters;
use crate::disk;
use crate::environment;
use crate::error::{Error, Kind, REJECTED, Result};
use crate::log::{self, Log};
use crate::metrics::Metrics;
use crate::ndjson::{Input, Io, MarkOptions, Output, Place, Rejects, StageOutput, WriteMarks};
use crate::panics;
use crate::progress::{self, Progress};
use crate::shutdown::{self, Shutdown};

/// The layout of a program's help.
const HELP: &str = "\
{name} - {about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// The end of every help.
const AFTER_HELP: &str = "\
Exit status: 0 finished, 65 finished with rejects, 69 server unreachable, 74 local I/O,
75 ended early, 77 denied, 78 configuration. Tour: bh-pipes(7); lines: bh-lines(5).";

/// What this module needs to know of a program.
pub trait Program: Parser {
    /// Whether it reads lines; then a terminal as input is an error.
    const READS_LINES: bool = true;
    /// Its place in a pipeline.
    const PLACE: Place = Place::Between;
    /// Whether it has to account for records that it reads.
    const COUNTS_READ: bool = true;
    /// Whether SIGTERM is its normal end: it finishes what it has begun.
    const TERM_ENDS_INPUT: bool = false;

    fn shared(&self) -> &SharedArgs;

    /// Returns whether this run of it reads lines.
    fn reads_lines(&self) -> bool {
        Self::READS_LINES
    }

    /// Returns the name of written records in the summary.
    fn out(&self) -> &'static str {
        "out"
    }

    fn write_marks(&self) -> WriteMarks {
        WriteMarks::OffTerminal
    }

    /// Returns whether fewer records may come than were sent.
    fn allow_drops(&self) -> bool {
        false
    }

    /// Returns whether to wait without limit for a server that is unavailable.
    fn waits_for_servers(&self) -> bool {
        false
    }

    /// Returns other files that it uses, each with its name in messages.
    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        Vec::new()
    }
}

/// Returns the command of a program, with version and help.
pub(crate) fn command<P: Program>() -> Command {
    P::command()
        .version(env!("CARGO_PKG_VERSION"))
        .help_template(HELP)
        .after_help(AFTER_HELP)
}

/// Runs a program from its arguments to its exit status.
pub fn main<P: Program>(run: impl FnOnce(&P, &mut Io) -> Result<()>) -> ExitCode {
    environment::unset_blank();
    let args = match parse::<P>() {
        Ok(args) => args,
        Err(error) => return help::print(error, name::<P>()),
    };
    if args.reads_lines() && std::io::stdin().is_terminal() {
        return refuse_terminal::<P>();
    }
    let program = name::<P>();
    let counters = Arc::new(Counters::new(program, args.out(), P::COUNTS_READ));
    let shared = args.shared();
    let log = Log::new(program, shared.log_format, shared.verbosity());
    abort_on_panic(log.clone());
    let options = progress::Options {
        interval: shared.progress_interval.map(|time| time.as_secs()),
        allow_drops: args.allow_drops(),
    };
    let progress = match shared.progress {
        ShowProgress::Auto => Some(Progress::start(&counters, &log, options)),
        ShowProgress::Never => None,
    };
    let done = open_summary(shared, &args.files()).and_then(|summary| {
        let done = io(&args, &log, &counters).and_then(|mut io| {
            let done = run(&args, &mut io);
            conclude(done, &mut io)
        });
        let saved = summary.map_or(Ok(()), |(path, mut file)| {
            let line = format!("{}\n", counters.json());
            let written = file.write_all(line.as_bytes());
            written.map_err(unwritable(path))
        });
        done.and(saved)
    });
    if let Err(error) = &done {
        match error.kind {
            Kind::Signal(signal_hook::consts::SIGPIPE) => {
                error.next().into_iter().for_each(|next| log.info(next));
            }
            _ => log.error(error),
        }
    }
    // A program that only prints a state has no counts.
    if args.reads_lines() || !counters.is_empty() || done.is_err() {
        log.summary(&counters.line(), &counters.json());
    }
    drop(progress);
    match done.map_err(|error| error.kind) {
        Ok(()) if counters.has_findings() => ExitCode::from(REJECTED),
        Ok(()) => ExitCode::SUCCESS,
        Err(Kind::Signal(signal)) => {
            shutdown::die_by(signal);
            ExitCode::from(Kind::Internal.status().unwrap_or(1))
        }
        Err(kind) => ExitCode::from(kind.status().unwrap_or(1)),
    }
}

/// Reports that a program that reads lines was started without any, with an example of its use.
fn refuse_terminal<P: Program>() -> ExitCode {
    let program = name::<P>();
    let examples = command::<P>().get_before_help().map(ToString::to_string);
    let example = examples.as_deref().and_then(|text| text.lines().nth(1));
    log::write_lines(&format!(
        "{program} reads NDJSON from standard input; pipe something into it, for example:\n\
         {}\n({program} --help for more)",
        example.unwrap_or_default()
    ));
    ExitCode::from(2)
}

/// Creates the file of `--summary` before the stage runs, to fail early.
///
/// # Errors
/// It is used for something else too (2), or cannot be written (74).
fn open_summary<'a>(
    shared: &'a SharedArgs,
    files: &[(&'static str, PathBuf)],
) -> Result<Option<(&'a Path, File)>> {
    check_distinct_files(shared, files)?;
    let Some(path) = shared.summary.as_deref() else {
        return Ok(None);
    };
    let file = disk::follow_links(path).and_then(|_| File::create(path));
    Ok(Some((path, file.map_err(unwritable(path))?)))
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    Error::unwritable(format!("--summary {}", path.display()))
}

/// Parses the command line; `--version` names the commit, which the manual
/// leaves out.
fn parse<P: Program>() -> std::result::Result<P, clap::Error> {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("COMMIT"));
    let mut command = command::<P>().version(VERSION);
    let arguments: Vec<_> = std::env::args_os().collect();
    let matches = command.try_get_matches_from_mut(&arguments);
    let matches = matches.map_err(|told| help::shorten(told, &command, &arguments))?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Returns the program's name.
fn name<P: Program>() -> &'static str {
    P::command().get_name().to_owned().leak()
}

fn io<P: Program>(args: &P, log: &Log, counters: &Arc<Counters>) -> Result<Io> {
    let context = Context {
        log: log.clone(),
        counters: Arc::clone(counters),
        shutdown: Shutdown::watch(P::TERM_ENDS_INPUT).map_err(Error::local("signals"))?,
        waits_for_servers: args.waits_for_servers(),
        metrics: Metrics::from_environment().unwrap_or_else(|reason| {
            log.warn(reason);
            Metrics::default()
        }),
    };
    let stdin = streams::stdin().map_err(Error::local("standard input"))?;
    let stdout = streams::stdout().map_err(Error::local("standard output"))?;
    let rejects = args.shared().rejects.as_deref();
    let rejects = Rejects::open(counters.program(), rejects, log.clone())?;
    let options = MarkOptions {
        place: P::PLACE,
        write: args.write_marks(),
        allow_drops: args.allow_drops(),
    };
    Ok(Io {
        input: Input::new(stdin, args.reads_lines(), &context),
        output: StageOutput::new(
            Output::new(stdout, Arc::clone(counters)),
            rejects,
            options,
            context.clone(),
        ),
        context,
    })
}

/// Flushes finished records, however the run ended, and checks that the counts add up.
fn conclude(done: Result<()>, io: &mut Io) -> Result<()> {
    let left = match &done {
        // Standard output is closed, so buffered output is discarded.
        Err(error) if error.kind == Kind::Signal(signal_hook::consts::SIGPIPE) => Ok(()),
        done => io.output.finish(done.is_ok()),
    };
    // A source that failed has said how to resume.
    let is_said = done.is_err() && io.output.is_source();
    // A signal reaches the whole pipeline: report it rather than the early end of the input
    // that it causes.
    if let Err(error) = done.and_then(|()| io.context.shutdown.check()) {
        return Err(if is_said { error } else { resumable(error, io) });
    }
    // Lost records are the cause of whatever else went wrong.
    if !io.context.counters.adds_up() {
        return Err(Error::internal(
            "the counts do not add up: records are missing; run again and report this",
        ));
    }
    left?;
    if io.input.is_missing() {
        io.context.log.warn(
            "standard input was empty: if lines were expected, look at the program before this one",
        );
    }
    Ok(())
}

/// Adds to the error how to resume the pipeline, since its source may have ended long ago.
fn resumable(error: Error, io: &Io) -> Error {
    // An input that ended early says it itself.
    let is_temporary = matches!(
        error.kind,
        Kind::Signal(_) | Kind::Unavailable | Kind::LocalIo
    );
    if !is_temporary || !io.output.runs().is_resumable() {
        return error;
    }
    let again = log::again_or("the same pipeline again with --resume");
    error.then(format!("to resume, run {again}"))
}

/// Checks that no file to write is used for something else too.
///
/// # Errors
/// Which file is used twice (2).
fn check_distinct_files(shared: &SharedArgs, files: &[(&'static str, PathBuf)]) -> Result<()> {
    let mut used = vec![
        ("standard input", fstat(std::io::stdin()).ok()),
        ("standard output", fstat(std::io::stdout()).ok()),
    ];
    used.extend(files.iter().map(|(name, path)| (*name, stat(path).ok())));
    let (rejects, summary) = (&shared.rejects, &shared.summary);
    for (flag, path) in [("--rejects", rejects), ("--summary", summary)] {
        let Some(path) = path else { continue };
        let taken = |name: &str| {
            let place = path.display();
            Error::usage(format!("{flag} {place}: is also {name}; use another file"))
        };
        let Ok(file) = stat(path) else {
            // It does not exist yet.
            if flag == "--summary" && rejects == summary {
                return Err(taken("the file of rejects"));
            }
            continue;
        };
        if !FileType::from_raw_mode(file.st_mode).is_file() {
            continue;
        }
        let is_it = |other: &Stat| (other.st_dev, other.st_ino) == (file.st_dev, file.st_ino);
        let mut others = used.iter();
        if let Some((name, _)) = others.find(|(_, other)| other.as_ref().is_some_and(is_it)) {
            return Err(taken(name));
        }
        used.push(("the file of rejects", Some(file)));
    }
    Ok(())
}

/// Makes a panic on any thread end the process, because a run that lost a thread could
/// otherwise report success.
#[expect(clippy::exit, reason = "the one place that may")]
fn abort_on_panic(log: Log) {
    std::panic::set_hook(Box::new(move |panic| {
        if panics::are_contained() {
            return;
        }
        let text = panic.to_string();
        // Libraries panic where the system has no thread or file for them.
        let exhausted = ["Too many open files", "spawn worker thread", "spawn thread"];
        let (kind, text) = if exhausted.iter().any(|cause| text.contains(cause)) {
            let advice = "raise the limits of this process (ulimit -n, ulimit -u)";
            (
                Kind::LocalIo,
                format!("no file or thread is left: {text}; {advice}"),
            )
        } else {
            (
                Kind::Internal,
                format!("internal error, please report it: {text}"),
            )
        };
        log.error(text);
        std::process::exit(i32::from(kind.status().unwrap_or(1)));
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;
    use crate::ndjson::{self, Block, Emitted, Line};

    /// Runs a filter over three records and a mark; returns how it ends.
    fn run(filter: impl Fn(&Block) -> Emitted + Sync) -> Result<()> {
        let mut input = tempfile::tempfile().unwrap();
        let lines =
            "{\"key\":\"a\"}\n\n{\"key\":\"b\"}\n[\n{\"key\":\"c\"}\n{\"mark\":{\"end\":{}}}\n";
        input.write_all(lines.as_bytes()).unwrap();
        input.rewind().unwrap();
        let counters = Arc::new(Counters::new("test", "out", true));
        let context = Context {
            log: Log::new("test", log::Format::Text, log::Verbosity::Normal),
            counters: Arc::clone(&counters),
            shutdown: Shutdown::watch(false).unwrap(),
            waits_for_servers: false,
            metrics: Metrics::default(),
        };
        let output = Output::new(tempfile::tempfile().unwrap(), Arc::clone(&counters));
        let rejects = Rejects::open("test", None, context.log.clone());
        let mut io = Io {
            input: Input::new(input, true, &context),
            output: StageOutput::new(
                output,
                rejects.unwrap(),
                MarkOptions {
                    place: Place::Between,
                    write: WriteMarks::Always,
                    allow_drops: false,
                },
                context.clone(),
            ),
            context,
        };
        let done = ndjson::par_filter(&mut io, filter);
        conclude(done, &mut io)
    }

    /// Passes all records but the ones that `lose` picks.
    fn pass(block: &Block, lose: impl Fn(u64) -> bool) -> Emitted {
        let mut emitted = Emitted::default();
        for line in block.lines() {
            match line {
                Line::Mark(mark, line) => emitted.mark(mark, line),
                Line::Record(record) if lose(record.number) => {}
                Line::Record(record) => emitted.keep(block, record.bytes),
            }
        }
        emitted
    }

    #[test]
    fn a_record_without_an_outcome_is_an_internal_error() {
        assert!(run(|block| pass(block, |_| false)).is_ok());
        let lost = run(|block| pass(block, |number| number == 3));
        assert_eq!(lost.map_err(|error| error.kind.status()), Err(Some(70)));
    }

    #[test]
    fn a_record_with_two_outcomes_is_an_internal_error() {
        let twice = run(|block| {
            let mut emitted = pass(block, |_| false);
            emitted.drop("again", 1);
            emitted
        });
        assert_eq!(twice.map_err(|error| error.kind.status()), Err(Some(70)));
    }
}
