//! Flags that several programs have.

use std::path::PathBuf;
use std::time::Duration;

use crate::log::{self, Verbosity};
use crate::ndjson::WriteMarks;
use crate::values;

/// Flags of every program.
#[derive(Debug, Clone, clap::Args)]
pub struct SharedArgs {
    /// Append rejected records to this file, with the reason; it can be piped in again
    #[arg(long, value_name = "FILE", help_heading = "Reporting")]
    pub rejects: Option<PathBuf>,

    /// Write messages as text or as JSON lines
    #[arg(long, value_enum, default_value = "text", help_heading = "Reporting")]
    pub log_format: log::Format,

    /// At the end, write the summary to this file as JSON
    #[arg(long, value_name = "FILE", help_heading = "Reporting")]
    pub summary: Option<PathBuf>,

    /// Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never
    #[arg(long, value_enum, default_value = "auto", help_heading = "Reporting")]
    pub progress: ShowProgress,

    /// Where no rows are drawn, print a line of progress this often
    #[arg(long, value_name = "TIME", value_parser = values::whole_seconds, help_heading = "Reporting")]
    pub progress_interval: Option<Duration>,

    /// Log only errors and the summary
    #[arg(long, short, conflicts_with = "verbose", help_heading = "Reporting")]
    pub quiet: bool,

    /// Log every retry, and every object that is rejected or gone
    #[arg(long, short, help_heading = "Reporting")]
    pub verbose: bool,
}

impl SharedArgs {
    /// Returns which messages are logged.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// The flag of programs that read what others wrote.
#[derive(Debug, Clone, clap::Args)]
pub struct InputArgs {
    /// Accept that grep, jq or another filter before this program drops records; they are
    /// counted as outside
    #[arg(long)]
    pub allow_drops: bool,
}

/// The flag of programs that store.
#[derive(Debug, Clone, clap::Args)]
pub struct SinkArgs {
    /// Write the marks of what is stored
    #[arg(long)]
    marks: bool,
}

impl SinkArgs {
    /// Returns when marks are written.
    #[must_use]
    pub fn write_marks(&self) -> WriteMarks {
        if self.marks {
            WriteMarks::Always
        } else {
            WriteMarks::Never
        }
    }
}

/// The flag of programs that use servers.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Wait for a server that is unavailable, however long, instead of exiting with 69
    #[arg(long)]
    pub wait_for_servers: bool,
}

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ShowProgress {
    Auto,
    Never,
}
