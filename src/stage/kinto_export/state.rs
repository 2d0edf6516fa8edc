//! What is exported, and which part of an earlier run is taken as done.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Args;
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::resume::{self, Listed, StateFile};
use crate::stage::s3_list::state::decide;

/// A state of another export is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The server's URL, or that of its database.
    pub server: String,
    pub bucket: String,
    pub collection: String,
    /// Only what has changed after this.
    pub since: Option<String>,
    /// The latest change when the run began: what changes from then on is for
    /// the next one.
    pub through: Option<String>,
}

impl Export {
    fn is_of(&self, other: &Self) -> bool {
        let through = None;
        let open = |export: &Self| Self {
            through: through.clone(),
            ..export.clone()
        };
        open(self) == open(other)
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            bucket,
            collection,
            ..
        } = self;
        write!(f, "{bucket}/{collection} at {server}")?;
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        Ok(())
    }
}

/// The state to go on with, and its file.
pub fn open(args: &Args, export: &Export, io: &Io) -> Result<(Option<StateFile>, Listed<Export>)> {
    let fresh = Listed::new(export.clone());
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let (file, mut exported) = StateFile::open(path, &fresh)?;
    if !exported.source.is_of(export) {
        return Err(Error::configuration(format!(
            "{}: holds the state of another export ({}); use another --resume-file, or remove it",
            path.display(),
            exported.source
        )));
    }
    if exported == fresh {
        io.log.info(format!("{}: a new run begins", path.display()));
        return Ok((Some(file), exported));
    }
    if !args.resume {
        return Ok((Some(file), fresh));
    }
    let loaded = resume::peek(&resume::loaded_path(path))?;
    let (coverage, why) = decide(&exported, loaded.as_ref(), args.checkpoint);
    io.log.info(format!("{}: {why}", path.display()));
    match coverage {
        Some(coverage) => exported.go_on(coverage),
        None => exported = fresh,
    }
    Ok((Some(file), exported))
}
