//! The resume file of a run, and what a loader has confirmed of it.
//!
//! Each is one JSON document, replaced whole (temporary file, fsync, rename,
//! fsync of the folder) and locked as long as its program runs.

mod checkpoint;
mod file;
mod point;
mod publisher;
mod recorder;
mod run;

pub use self::checkpoint::{Compatibility, ResumeArgs, ResumeFrom, RunSource, open};
pub use self::file::{StateFile, files, loaded_path, peek};
pub use self::point::{describe_rest, last_run, resume_point};
pub use self::publisher::{PublishedPage, Publisher};
pub use self::recorder::Recorder;
pub use self::run::{Confirmed, ConfirmedUnit, ListingSource, RunState};
