//! Keeps the rejects of a stage: in the file of `--rejects`, or without one in the log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result};
use crate::json;
use crate::log::{Log, counted};
use crate::record::reject::Reject;

/// Rejects that are logged in full if there is no file for them.
const SHOWN: u64 = 10;

/// Where rejects are kept.
pub struct Rejects {
    stage: &'static str,
    file: Option<(PathBuf, File)>,
    buffer: Vec<u8>,
    unsynced: bool,
    /// How many rejects are not in a file, and how many of these were logged.
    unsaved: u64,
    shown: u64,
    /// The run that the current lines belong to.
    run: Option<String>,
    log: Log,
}

impl Rejects {
    /// Opens the file for appending. Half a line at its end, left by a killed program, is
    /// removed: its unit is not confirmed, so it is read again. If another stage has the file
    /// open too, that line only gets its newline before the next reject.
    pub fn open(stage: &'static str, path: Option<&Path>, log: Log) -> Result<Self> {
        let open = |path: &Path| {
            let file = open_to_append(path).map_err(unwritable(path))?;
            Ok::<_, Error>((path.to_owned(), file))
        };
        Ok(Self {
            stage,
            file: path.map(open).transpose()?,
            buffer: Vec::new(),
            unsynced: false,
            unsaved: 0,
            shown: 0,
            run: None,
            log,
        })
    }

    /// Appends the reject to the file, or logs it as `message` unless that is empty; returns
    /// whether there is a file.
    pub fn keep(&mut self, reject: &Reject, message: Option<&str>) -> Result<bool> {
        if self.append(reject)? {
            return Ok(true);
        }
        self.unsaved += 1;
        if (self.shown < SHOWN || self.log.is_verbose()) && message != Some("") {
            self.shown += 1;
            match message {
                Some(message) => self.log.warn(message),
                None => self.log.warn(reject),
            }
        }
        Ok(false)
    }

    /// Appends the reject to the file; returns whether there is one.
    pub fn append(&mut self, reject: &Reject) -> Result<bool> {
        let Some((path, file)) = &mut self.file else {
            return Ok(false);
        };
        self.buffer.clear();
        reject.write(self.stage, self.run.as_deref(), &mut self.buffer);
        append_line(file, &mut self.buffer).map_err(unwritable(path))?;
        self.unsynced = true;
        Ok(true)
    }

    /// Sets the run that the next rejects belong to.
    pub fn set_run(&mut self, run: Option<&str>) {
        self.run = run.map(str::to_owned);
    }

    /// Blocks until all rejects are on disk.
    pub fn sync(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        match &self.file {
            Some((path, file)) => match file.sync_data() {
                // Pipes and devices cannot be synced.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
                done => done.map_err(unwritable(path)),
            },
            None => Ok(()),
        }
    }

    /// Returns whether there is a file for rejects.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Syncs a last time, and logs how many rejects were not kept.
    pub fn close(&mut self) -> Result<()> {
        if self.unsaved > 0 {
            let shown = self.shown;
            self.log.warn(format!(
                "{} rejected but not saved ({shown} shown): run again with --rejects FILE to keep them",
                counted(self.unsaved, "record")
            ));
            self.unsaved = 0;
        }
        self.sync()
    }
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    Error::unwritable(format!("--rejects {}", path.display()))
}

fn open_to_append(path: &Path) -> std::io::Result<File> {
    disk::follow_links(path)?;
    let mut file = File::options()
        .create(true)
        .append(true)
        // A pipe that is open for reading too would block instead of fail without its reader.
        .read(path.metadata().map_or(true, |data| data.is_file()))
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    if file.metadata()?.len() == 0 {
        // The file may be new; its name must be on disk too.
        disk::sync_folder_of(path)?;
    }
    // Another stage may be writing the half line.
    if file.try_lock().is_ok() {
        repair_end(&mut file)?;
    }
    file.lock_shared()?;
    Ok(file)
}

/// Appends `line`, which ends with a newline, as a separate line.
///
/// Another stage that shares the file may be killed in the middle of its line at any time,
/// also after the check for half a line. So the start of our line is checked again after it
/// is written, and it is written again if it follows half a line.
fn append_line(file: &mut File, line: &mut Vec<u8>) -> std::io::Result<()> {
    if !file.metadata()?.is_file() {
        return file.write_all(line);
    }
    // One write, so that lines of several stages do not mix.
    let mut torn = disk::is_torn(file, file.metadata()?.len())?;
    if !torn {
        file.write_all(line)?;
        let start = file.stream_position()?.saturating_sub(line.len() as u64);
        torn = disk::is_torn(file, start)?;
    }
    if torn {
        line.insert(0, b'\n');
        file.write_all(line)?;
    }
    Ok(())
}

/// Adds a newline to a last line that only lacks it; removes half a line.
fn repair_end(file: &mut File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    let whole = end_of_last_line(file, length)?;
    if whole == length {
        return Ok(());
    }
    file.seek(SeekFrom::Start(whole))?;
    let mut last = Vec::new();
    file.read_to_end(&mut last)?;
    match json::members(&last) {
        Ok(_) => file.write_all(b"\n"),
        Err(_) => file.set_len(whole),
    }
}

/// Returns the length of the file through its last newline.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    let mut end = length;
    let mut piece = [0; 4096];
    while end > 0 {
        let size = end.min(piece.len() as u64);
        file.seek(SeekFrom::Start(end - size))?;
        let tail = &mut piece[..usize::try_from(size).unwrap_or(4096)];
        file.read_exact(tail)?;
        if let Some(newline) = memchr::memrchr(b'\n', tail) {
            return Ok(end - size + newline as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}
