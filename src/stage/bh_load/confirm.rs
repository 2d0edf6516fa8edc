//! What is committed is confirmed: in the file beside the resume file, and by
//! the marks that leave on standard output.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::ndjson::Seam;
use crate::record::coverage::Interval;
use crate::record::mark::Mark;
use crate::resume::{Loaded, StateFile, loaded_path};

pub struct Confirm {
    file: Option<(StateFile, Loaded)>,
    changed: bool,
    lost: Option<Lost>,
    /// Why a part of the run is missing that did not come again.
    missing: Option<String>,
    /// On a terminal nobody reads marks.
    quiet: bool,
}

/// A run of which a part was stored, and lost with its database.
struct Lost {
    run: String,
    why: String,
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
    pub fn forget(&mut self, database: &str) -> Result<()> {
        let Some((file, loaded)) = &mut self.file else {
            return Ok(());
        };
        let lost = std::mem::take(loaded);
        file.save(loaded)?;
        let place = file.path().display();
        let why = format!("{place}: {database} is new, and what was stored of this run is lost");
        self.lost = lost.run.map(|run| Lost { run, why });
        Ok(())
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
        if let Mark::End { run, unconfirmed } = mark {
            let is_lost = |lost: &mut Lost| run.as_ref() == Some(&lost.run);
            let lost = self.lost.take_if(is_lost).map(|lost| lost.why);
            let behind = (*unconfirmed > 0).then(|| {
                format!(
                    "the listing went on behind {unconfirmed} records that no loader has confirmed"
                )
            });
            self.missing = lost.or(behind).or(self.missing.take());
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
    /// A part of it was taken as done, and is not stored.
    pub fn finish(self) -> Result<()> {
        match self.missing {
            None => Ok(()),
            Some(why) => Err(Error::message(
                Kind::EndedEarly,
                format!("{why}: run the pipeline again, and all of it is listed"),
            )),
        }
    }
}
