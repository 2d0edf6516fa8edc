//! The resume file of an inventory: which files were read, and how far.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::find::Inventory;
use super::proof::Check;
use super::source::Origin;
use super::{Args, position};
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::record::coverage::Interval;
use crate::resume::{self, Listed, StateFile};
use crate::stage::s3_list::state::decide;

/// What is read: a state of another inventory is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    endpoint: Option<String>,
    /// As they were named.
    inputs: Vec<String>,
    files: usize,
    /// A digest of their names, sizes, and checksums or times.
    digest: String,
    /// Of standard input, where it is read: in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inputs.join(" "))?;
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

impl Listed<Source> {
    /// Of standard input only what can be checked is taken as done.
    fn trust(&mut self, stdin: Option<usize>) {
        let Some(file) = stdin else { return };
        if self.coverage.is_empty() {
            self.source.checks.clear();
        }
        let checked = self.source.checks.last().map_or(0, |check| check.line);
        let end = position::end(file, self.source.files);
        let whole = Interval::new(position::behind(file, 0), end.clone());
        // Finished, it is not read again.
        if !self.coverage.gaps(&whole).is_empty() {
            let rest = Interval::new(position::behind(file, checked), end);
            self.coverage.remove(rest);
        }
    }
}

/// The state to go on with, and its file.
pub fn open(
    args: &Args,
    inventory: &Inventory,
    origin: &Origin,
    io: &Io,
) -> Result<(Option<StateFile>, Listed<Source>)> {
    let source = Source {
        endpoint: origin.endpoint(),
        inputs: inventory.inputs.clone(),
        files: inventory.files.len(),
        digest: inventory.digest(),
        checks: Vec::new(),
    };
    let fresh = Listed::new(source);
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let place = path.display();
    let (mut file, mut listed) = StateFile::open(path, &fresh)?;
    let named = |source: &Source| (source.endpoint.clone(), source.inputs.clone());
    let found = |source: &Source| (source.files, source.digest.clone());
    if named(&listed.source) != named(&fresh.source) {
        return Err(Error::configuration(format!(
            "{place}: holds the state of another inventory ({}); use another --resume-file, or \
             remove it",
            listed.source
        )));
    }
    if listed == fresh {
        io.log.info(format!("{place}: a new run begins"));
        return Ok((Some(file), listed));
    }
    if !args.resume {
        listed = fresh;
    } else if found(&listed.source) != found(&fresh.source) {
        io.log.info(format!(
            "{place}: the files are not those of run {}: a new run begins",
            listed.run
        ));
        listed = fresh;
    } else {
        let loaded = resume::peek(&resume::loaded_path(path))?;
        let (coverage, why) = decide(&listed, loaded.as_ref(), args.checkpoint);
        match coverage {
            Some(coverage) => {
                listed.go_on(coverage);
                listed.trust(inventory.streamed());
            }
            None => listed = fresh,
        }
        io.log.info(format!("{place}: {why}"));
    }
    file.save(&listed)?;
    Ok((Some(file), listed))
}
