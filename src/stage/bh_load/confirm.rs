//! What is committed is confirmed: in the file beside the resume file, and by
//! the marks that leave on standard output.

use std::path::Path;

use crate::error::{Error, Result};
use crate::ndjson::Seam;
use crate::record::coverage::Interval;
use crate::record::mark::Mark;
use crate::resume::{Loaded, StateFile, loaded_path};

pub struct Confirm {
    file: Option<(StateFile, Loaded)>,
    changed: bool,
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
}
