//! What is committed is confirmed: in the file beside the resume file, and by
//! the marks that leave on standard output.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::log::Log;
use crate::ndjson::Seam;
use crate::record::coverage::Interval;
use crate::record::mark::Mark;
use crate::resume::{Loaded, StateFile, loaded_path};

pub struct Confirm {
    file: Option<(StateFile, Loaded)>,
    changed: bool,
    /// Records of the run that nobody confirmed, and that did not come again.
    unconfirmed: u64,
    /// On a terminal nobody reads marks.
    quiet: bool,
}

impl Confirm {
    /// Creates the file before anything else is done, so that s3-list knows
    /// that a loader takes part.
    pub fn open(resume_file: Option<&Path>, dry_run: bool, quiet: bool) -> Result<Self> {
        let file = match resume_file {
            Some(path) if !dry_run => {
                Some(StateFile::open(&loaded_path(path), &Loaded::default())?)
            }
            _ => None,
        };
        Ok(Self {
            file,
            changed: false,
            unconfirmed: 0,
            quiet,
        })
    }

    /// A mark whose unit is committed.
    ///
    /// # Errors
    /// What is stored of the run so far is in another database: none of the two
    /// would be whole.
    pub fn mark(
        &mut self,
        mark: &Mark,
        line: &[u8],
        seam: &mut Seam,
        database: &str,
    ) -> Result<()> {
        if let Mark::End { unconfirmed } = mark {
            self.unconfirmed += unconfirmed;
        }
        if let (
            Mark::Listed {
                run,
                after,
                through,
            },
            Some((file, loaded)),
        ) = (mark, &mut self.file)
        {
            let part = Interval::new(after.clone(), through.clone());
            loaded.fold(run, part, database).map_err(|other| {
                Error::configuration(format!(
                    "{}: this run is stored in {other} so far, and this is {database}: name that \
                     database, or, if it is the same one under another name, write the name into \
                     the file",
                    file.path().display()
                ))
            })?;
            self.changed = true;
        }
        if self.quiet {
            return Ok(());
        }
        seam.write(line)?;
        seam.write(b"\n")
    }

    pub fn save(&mut self) -> Result<()> {
        match &mut self.file {
            Some((file, loaded)) if std::mem::take(&mut self.changed) => file.save(loaded),
            _ => Ok(()),
        }
    }

    /// Whether all of the run has come.
    ///
    /// # Errors
    /// A part of it lay in a pipe when an earlier process of the run was killed, and
    /// no loader had confirmed it.
    pub fn finish(&self, log: &Log) -> Result<()> {
        if self.unconfirmed == 0 {
            return Ok(());
        }
        let lost = format!(
            "the listing went on behind {} records that no loader has confirmed",
            self.unconfirmed
        );
        if self.file.is_none() {
            log.warn(format!(
                "{lost}, and what was in the pipes then is missing: name its --resume-file here, \
                 too, and run the pipeline again"
            ));
            return Ok(());
        }
        Err(Error::message(
            Kind::EndedEarly,
            format!("{lost}: run the pipeline again, and all of it is listed"),
        ))
    }
}
