//! The folder that the programs on one terminal (or log) share. It has a file per program
//! with its row, named after its process group, since that is what a pipeline is; a program
//! lives as long as the lock on its row. The lock on `speaker` makes one program of a group
//! show the rows of all. A file without a lock belongs to a program that has ended, or was
//! killed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{Errno, Result};
use rustix::process::getpgrp;

use super::row::Row;
use super::screen::Screen;
use crate::private_dir::{self, PrivateDir};

const SCREEN: &str = "screen";

/// A row is overwritten in place, so it always has this length.
const ROW_BYTES: usize = 400;

/// The membership of this program.
pub(super) struct SharedDir {
    dir: PrivateDir,
    row: File,
    speaker: File,
    speaks: bool,
}

impl SharedDir {
    /// Joins the pipeline; `None` if there is no private folder.
    pub(super) fn join(row: &Row) -> Option<(Self, Screen)> {
        let place = fstat(rustix::stdio::stderr()).ok()?;
        let place = match FileType::from_raw_mode(place.st_mode) {
            FileType::CharacterDevice => format!("{:x}", place.st_rdev),
            _ => format!("{:x}.{:x}", place.st_dev, place.st_ino),
        };
        for base in private_dir::bases() {
            // The last program of an earlier pipeline may be removing it.
            for _ in 0..10 {
                match Self::enter(base.join(format!("{}{place}", prefix())), row) {
                    Ok(joined) => return Some(joined),
                    Err(Errno::NOENT) => {}
                    Err(_) => break,
                }
            }
        }
        None
    }

    fn enter(path: PathBuf, row: &Row) -> Result<(Self, Screen)> {
        let dir = PrivateDir::enter(path)?;
        let lock = dir.lock();
        let screen = dir.file(SCREEN, OFlags::RDWR | OFlags::CREATE)?;
        let speaker = dir.file(&name("speaker"), OFlags::RDWR | OFlags::CREATE)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        let own = dir.file(&name(&row.pid.to_string()), flags)?;
        own.try_lock().map_err(|_| Errno::AGAIN)?;
        drop(lock);
        let shared = Self {
            dir,
            row: own,
            speaker,
            speaks: false,
        };
        shared.publish(row);
        Ok((shared, Screen::new(screen)))
    }

    pub(super) fn publish(&self, row: &Row) {
        let mut line = serde_json::to_vec(row).unwrap_or_default();
        line.resize(ROW_BYTES.max(line.len()), b' ');
        // The next tick writes it again.
        drop(self.row.write_all_at(&line, 0));
    }

    /// Returns whether this program shows the rows of its pipeline.
    pub(super) fn speaks(&mut self) -> bool {
        self.speaks = self.speaks || self.speaker.try_lock().is_ok();
        self.speaks
    }

    /// Returns the rows of this pipeline, in its order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let _lock = self.dir.lock();
        self.dir.rows(&name(""))
    }

    /// Ends the membership. The last program of the pipeline frees the screen.
    pub(super) fn leave(&mut self, mut row: Row, screen: &mut Screen) {
        let lock = self.dir.lock();
        row.ended = true;
        self.publish(&row);
        let _ = self.row.unlock();
        if self.dir.rows(&name("")).iter().any(|row| !row.ended) {
            screen.leave_to_others();
        } else {
            screen.free_abandoned();
            screen.release();
            self.dir.remove_group(&name(""));
        }
        let _ = self.speaker.unlock();
        self.dir.remove_unused();
        drop(lock);
    }

    /// Removes the folders of terminals and logs that nobody uses.
    pub(super) fn sweep_others(&self) {
        let Some(base) = self.dir.path.parent() else {
            return;
        };
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(&prefix());
            if !ours || entry.path() == self.dir.path {
                continue;
            }
            if let Ok(dir) = PrivateDir::open(entry.path())
                && dir.handle.try_lock().is_ok()
            {
                dir.remove_unused();
            }
        }
    }
}

/// Its files of rows.
trait RowFiles {
    fn rows(&self, group: &str) -> Vec<Row>;
    fn row_names(&self, group: &str) -> Vec<String>;
    fn remove_group(&self, group: &str);
    fn remove_unused(&self);
}

impl RowFiles for PrivateDir {
    /// Returns the rows of the files whose names begin with `group`, and removes those of
    /// killed programs.
    fn rows(&self, group: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        for name in self.row_names(group) {
            let Ok(mut file) = self.file(&name, OFlags::RDONLY) else {
                continue;
            };
            let lives = file.try_lock_shared().is_err();
            let mut line = String::new();
            let read = file.read_to_string(&mut line).map(|_| line);
            let row = read
                .ok()
                .and_then(|line| serde_json::from_str::<Row>(&line).ok());
            match row {
                Some(row) if lives || row.ended => rows.push(row),
                _ if lives || name.ends_with("speaker") => {}
                _ => self.unlink(&name),
            }
        }
        rows.sort_by_key(Row::sort_key);
        rows
    }

    fn row_names(&self, group: &str) -> Vec<String> {
        let is_ours = |name: &String| name.starts_with(group) && !name.starts_with('.');
        let names = self.names().into_iter().filter(is_ours);
        names.filter(|name| name != SCREEN).collect()
    }

    fn remove_group(&self, group: &str) {
        for name in self.row_names(group) {
            self.unlink(&name);
        }
    }

    /// Removes the folder unless a program lives there, or has left rows on its screen.
    fn remove_unused(&self) {
        let screen = self.file(SCREEN, OFlags::RDONLY);
        let is_reserved = screen.is_ok_and(|file| file.metadata().is_ok_and(|file| file.len() > 0));
        if !is_reserved && self.rows("").iter().all(|row| row.ended) {
            self.remove_group("");
            self.unlink(SCREEN);
            let _ = rustix::fs::rmdir(&self.path);
        }
    }
}

/// Returns the name of a file of this process group.
fn name(part: &str) -> String {
    format!("{}-{part}", getpgrp().as_raw_nonzero())
}

fn prefix() -> String {
    format!("{}-", private_dir::name_for("progress"))
}
