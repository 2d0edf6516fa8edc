//! The short help.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Command, Error};

/// The flags of most commands, by their ids.
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

/// Its end.
const AFTER: &str = "\
Exit status: 0 finished, 65 finished with rejects; others, and all options: --help";

/// Returns the error of arguments: where it is the help that `-h` asks for, the short one.
pub fn shorten(told: Error, command: &Command, arguments: &[OsString]) -> Error {
    let is_long = arguments.iter().any(|argument| argument == "--help");
    if told.kind() != ErrorKind::DisplayHelp || is_long {
        return told;
    }
    let short = command.clone().after_help(AFTER).mut_args(|arg| {
        let is_usual = USUAL.contains(&arg.get_id().as_str());
        arg.hide(!is_usual).help_heading(None::<&str>)
    });
    short.try_get_matches_from(arguments).err().unwrap_or(told)
}
