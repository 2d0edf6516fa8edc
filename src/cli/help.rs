//! Help, and errors of arguments.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use super::streams;
use crate::error::Kind;
use crate::log;

/// The flags that the short help shows, by their ids.
const USUAL: [&str; 23] = [
    "url",
    "inputs",
    "resume_file",
    "resume",
    "ordered",
    "endpoint_url",
    "no_sign_request",
    "latest",
    "columns",
    "suffix",
    "key_regex",
    "known",
    "max_size",
    "bare",
    "schema",
    "database",
    "elasticsearch",
    "dry_run",
    "event",
    "server",
    "since",
    "skip_unchanged",
    "rejects",
];

/// The end of the short help.
const AFTER: &str = "\
Exit status: 0 finished, 65 finished with rejects; others, and all options: --help";

/// Shortens the help that `-h` asks for; returns other errors as they are.
pub fn shorten(error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let is_long = arguments.iter().any(|argument| argument == "--help");
    if error.kind() != ErrorKind::DisplayHelp || is_long {
        return error;
    }
    let short = command.clone().after_help(AFTER).mut_args(|arg| {
        let is_usual = USUAL.contains(&arg.get_id().as_str());
        arg.hide(!is_usual).help_heading(None::<&str>)
    });
    short.try_get_matches_from(arguments).err().unwrap_or(error)
}

/// Prints help and version to standard output, an error to standard error.
pub fn print(mut error: Error, program: &str) -> ExitCode {
    if error.use_stderr() {
        // Only the values are escaped: line breaks in the rest belong there.
        let values: Vec<_> = error.context().filter_map(printable_value).collect();
        for (kind, value) in values {
            error.insert(kind, value);
        }
        let text = error.to_string().replacen("error", program, 1);
        log::write_lines(&text);
        return ExitCode::from(2);
    }
    match error.print() {
        Ok(()) if !streams::is_stdout_closed() => ExitCode::SUCCESS,
        _ => ExitCode::from(Kind::LocalIo.status().unwrap_or(1)),
    }
}

fn printable_value(
    (kind, value): (ContextKind, &ContextValue),
) -> Option<(ContextKind, ContextValue)> {
    match value {
        ContextValue::String(text) => Some((kind, ContextValue::String(log::printable(text)))),
        _ => None,
    }
}
