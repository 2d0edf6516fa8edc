//! Where a database is: which names mean a file, and whether it is still the
//! same file.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::store::{Replaced, StagingName};

/// The file of a database, or of a staging.
#[derive(Debug, Clone)]
pub struct SqlitePlace {
    pub path: PathBuf,
    pub staging: Option<StagingPlace>,
}

/// A staging, and the file of its main database.
#[derive(Debug, Clone)]
pub struct StagingPlace {
    pub name: StagingName,
    pub main: PathBuf,
}

impl SqlitePlace {
    /// Returns the place of a staging beside this file.
    ///
    /// # Errors
    /// It would be this file (2).
    pub fn staging(&self, name: StagingName) -> Result<Self> {
        let main = std::path::absolute(&self.path).map_err(Error::local(self.path.display()))?;
        let path = main.with_file_name(format!("{name}.db"));
        let same = identity(&main).is_some_and(|main| identity(&path) == Some(main));
        if same || path == main {
            return Err(Error::usage(format!(
                "--into {name}: {} is the main database; choose another name",
                path.display()
            )));
        }
        let staging = Some(StagingPlace { name, main });
        Ok(Self { path, staging })
    }
}

/// Returns the file that a URL names after `sqlite:`.
///
/// # Errors
/// It is a name that SQLite itself gives another meaning (2).
pub fn parse_path(text: &str) -> Result<PathBuf> {
    let path = text.strip_prefix("//").unwrap_or(text);
    let refused = match path {
        "" => "names no file",
        ":memory:" => "keeps nothing when the program ends",
        _ if path.starts_with("file:") => "is a URL within a URL",
        _ if path.contains('?') => "has parameters, and there are none",
        _ => return Ok(PathBuf::from(path)),
    };
    Err(Error::usage(format!(
        "--database sqlite:{text} {refused}: name a file, as in sqlite:builds.db"
    )))
}

/// Checks that a database can be opened at `path`, or created there.
///
/// # Errors
/// Something else is there, or rows without their database (78); one of its files is what another
/// user has put into a folder that everybody may write to (74).
pub fn check_free(path: &Path, address: &str) -> Result<()> {
    let file = disk::follow_links(path).map_err(Error::local(address))?;
    for ending in ["-wal", "-shm", "-journal"] {
        disk::follow_links(&disk::beside(&file, ending)).map_err(Error::local(address))?;
    }
    let found = path.metadata();
    if found.as_ref().is_ok_and(|data| !data.is_file()) {
        return Err(Error::configuration(format!(
            "{address}: not a regular file; name another one with --database"
        )));
    }
    let log = log_of(path);
    let holds = |data: Metadata| data.len() > 0;
    if !found.is_ok_and(holds) && log.metadata().is_ok_and(holds) {
        let log = log.display();
        return Err(Error::configuration(format!(
            "{log}: its database is missing, and SQLite would delete the rows in it; put the \
             database back, or move {log} away"
        )));
    }
    Ok(())
}

/// Returns the write-ahead log, which is beside the file that a link points to.
fn log_of(path: &Path) -> PathBuf {
    let path = disk::follow_links(path).unwrap_or_else(|_| path.to_owned());
    disk::beside(&path, "-wal")
}

/// Returns whether nobody can write to a database here: its folder is read-only, and no program
/// has left a write-ahead log. SQLite cannot read it as usual then, because it needs a file of its
/// own beside it.
pub fn is_frozen(path: &Path) -> bool {
    let log = log_of(path);
    let folder = log.parent().unwrap_or(Path::new("/"));
    !disk::is_writable(folder) && log.metadata().map_or(true, |data| data.len() == 0)
}

/// Returns the URL by which SQLite reads such a database.
pub fn frozen_url(path: &Path) -> String {
    let path = percent_encode(path.as_os_str().as_bytes(), URL_PATH);
    format!("file:{path}?immutable=1")
}

/// The characters that end a path in a URL.
const URL_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// Returns the device and the inode of a file; `None` if it does not exist.
type FileId = Option<(u64, u64)>;

fn identity(path: &Path) -> FileId {
    let data = path.metadata().ok()?;
    Some((data.dev(), data.ino()))
}

/// The files of an open database.
pub struct OpenFiles([(PathBuf, FileId); 2]);

impl OpenFiles {
    /// Notes which files they are, once the database and its log are open.
    pub fn new(path: &Path) -> Self {
        Self([path.to_owned(), log_of(path)].map(|path| {
            let identity = identity(&path);
            (path, identity)
        }))
    }

    /// Checks that the names are still those of the open files.
    ///
    /// # Errors
    /// [`Replaced`] (74).
    pub fn verify(&self) -> Result<()> {
        let is_other = |(path, noted): &&(PathBuf, FileId)| identity(path) != *noted;
        match self.0.iter().find(is_other) {
            None => Ok(()),
            Some((path, _)) => {
                let replaced = Replaced(path.display().to_string());
                Err(Error::new(Kind::LocalIo, replaced))
            }
        }
    }
}
