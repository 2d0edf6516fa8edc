//! Newline-delimited JSON: lines in, lines out, marks, rejects.

mod input;
mod output;
mod parallel;
mod rejects;
mod seam;

pub use input::{Block, Input, Lines};
pub use output::Output;
pub use parallel::{Flow, Results, beside, cores, map, pass};
pub use rejects::{RejectArgs, Rejects};
pub use seam::{Chunk, Seam};

use std::sync::Arc;

use crate::cli::signals::Stop;
use crate::log::Log;
use crate::tally::Tally;

/// The streams of a stage, and what it tells about itself.
pub struct Io {
    pub input: Input,
    pub seam: Seam,
    pub log: Log,
    pub tally: Arc<Tally>,
    pub stop: Arc<Stop>,
}
