//! The resume file of an inventory: which files were read, and how far.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Args;
use super::find::Inventory;
use super::source::Origin;
use crate::error::{Error, Result};
use crate::ndjson::Io;
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
    };
    let fresh = Listed::new(source);
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let place = path.display();
    let (mut file, mut listed) = StateFile::open(path, &fresh)?;
    let named = |source: &Source| (source.endpoint.clone(), source.inputs.clone());
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
    } else if listed.source != fresh.source {
        io.log.info(format!(
            "{place}: the files are not those of run {}: a new run begins",
            listed.run
        ));
        listed = fresh;
    } else {
        let loaded = resume::peek(&resume::loaded_path(path))?;
        let (coverage, why) = decide(&listed, loaded.as_ref(), args.checkpoint);
        match coverage {
            Some(coverage) => listed.go_on(coverage),
            None => listed = fresh,
        }
        io.log.info(format!("{place}: {why}"));
    }
    file.save(&listed)?;
    Ok((Some(file), listed))
}
