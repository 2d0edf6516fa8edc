//! The resume file of a run, and what a loader has confirmed of it.
//!
//! Each is one JSON document, replaced whole (temporary file, fsync, rename,
//! fsync of the folder) and locked as long as its program runs.

mod checkpoint;
mod file;
mod recorder;
mod run;

pub use self::checkpoint::{ResumeArgs, Standing, Subject, decide, open};
pub use self::file::{StateFile, files, loaded_path, peek};
pub use self::recorder::Recorder;
pub use self::run::{Listed, Loaded, Source};
