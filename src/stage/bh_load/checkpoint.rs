//! What is committed is confirmed: in the file beside the resume file, and by
//! the marks that leave on standard output.

use std::path::Path;

use crate::error::{Error, Result};
use crate::ndjson::StageOutput;
use crate::record::coverage::Interval;
use crate::record::mark::Mark;
use crate::resume::{Confirmed, StateFile, loaded_path};

pub struct Checkpoint {
    file: Option<(StateFile, Confirmed)>,
    changed: bool,
    /// A run of which a part was stored, and lost with its database.
    lost: Option<String>,
    /// Why a part of the run is missing that did not come again.
    missing: Option<String>,
    /// On a terminal nobody reads marks.
    quiet: bool,
}

impl Checkpoint {
    /// Creates the file before anything else is done, so that s3-list knows
    /// that a loader takes part.
    pub fn open(resume_file: Option<&Path>, dry_run: bool, quiet: bool) -> Result<Self> {
        let file = match resume_file {
            Some(path) if !dry_run => {
                Some(StateFile::open(&loaded_path(path), &Confirmed::default())?)
            }
            _ => None,
        };
        Ok(Self {
            file,
            changed: false,
            lost: None,
            missing: None,
            quiet,
        })
    }

    /// Whether the file says of `database` that a part of a run is stored there.
    pub fn relies_on(&self, database: &str) -> bool {
        let loaded = self.file.as_ref().map(|(_, loaded)| loaded);
        loaded.is_some_and(|loaded| {
            loaded.database.as_deref() == Some(database) && !loaded.coverage.is_empty()
        })
    }

    /// The database is there no more that the file is of: nothing is stored.
    pub fn forget(&mut self) -> Result<()> {
        let Some((file, loaded)) = &mut self.file else {
            return Ok(());
        };
        self.lost = std::mem::take(loaded).run;
        file.save(loaded)
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
        output: &mut StageOutput,
        database: &str,
    ) -> Result<()> {
        if let Mark::End { run, unconfirmed } = mark {
            if let Some((file, _)) = &self.file
                && self.lost.is_some()
                && self.lost == *run
            {
                let place = file.path().display();
                self.missing = Some(format!(
                    "{place}: {database} is new, and what was stored of this run is lost"
                ));
            } else if *unconfirmed > 0 {
                self.missing = Some(format!(
                    "the listing went on behind {unconfirmed} records that no loader has confirmed"
                ));
            }
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
        output.write(line)?;
        output.write(b"\n")
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
    /// A part of it was taken as done, and is not stored.
    pub fn finish(self) -> Result<()> {
        match self.missing {
            None => Ok(()),
            Some(why) => Err(Error::ended_early(format!(
                "{why}: run the pipeline again, and all of it is listed"
            ))),
        }
    }
}
