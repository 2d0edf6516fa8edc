//! Newline-delimited JSON: lines in, lines out, marks, rejects.

mod input;
mod output;
mod parallel;
mod rejects;
mod stage_output;

pub use input::{Block, Input, Lines};
pub use output::Output;
pub use parallel::{Polled, Results, cores, par_filter, par_map_ordered, with_reader};
pub use rejects::{RejectArgs, Rejects};
pub use stage_output::{Emitted, StageOutput};

use crate::context::Context;

/// The streams of a stage, and what it shares.
pub struct Io {
    pub input: Input,
    pub output: StageOutput,
    pub context: Context,
}
