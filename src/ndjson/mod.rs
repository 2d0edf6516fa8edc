//! Newline-delimited JSON: lines in, lines out, marks, rejects.

mod batched;
mod emitted;
mod first_records;
mod input;
mod line;
mod mark_options;
mod ordered;
mod output;
mod parallel;
mod parsed;
mod rejects;
mod runs;
mod stage_output;
mod unit;
mod unit_metrics;
mod wanted;

pub use batched::{BatchLimits, BatchSink, batched};
pub use emitted::Emitted;
pub use input::{Block, Input};
pub use line::{Framing, Line, RecordLine};
pub use mark_options::{MarkOptions, Place, WriteMarks};
pub use ordered::{PendingQueue, Promise, ordered};
pub use output::Output;
pub use parallel::{Polled, Results, cores, par_filter, par_map_ordered, with_reader};
pub use parsed::Parsed;
pub use rejects::Rejects;
pub use stage_output::{ClosedUnit, StageOutput};
pub use wanted::{OTHER, Selected, Wanted, WantedArgs};

use crate::context::Context;

/// The streams of a stage, and what it shares.
pub struct Io {
    pub input: Input,
    pub output: StageOutput,
    pub context: Context,
}
