//! The folder that the programs of a pipeline share: one file per program with
//! its row, and the file `drawn`, the block as it is on the screen. A program
//! lives as long as the lock on its row. A lock on `drawn` is the right to draw;
//! the lock on the folder is held during a write to the terminal. A file without
//! a lock belongs to a killed program.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::{Errno, Result};
use rustix::process::{getpgrp, getuid};

use super::row::Row;

const DRAWN: &str = "drawn";

/// After this long without a frame, the pipeline was stopped and the shell has
/// written below the block since.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// The right to draw at each tick.
pub(super) struct DrawLock(File);

impl DrawLock {
    /// Takes the lock if it is free.
    pub(super) fn acquire(&self) -> bool {
        self.0.try_lock().is_ok()
    }

    pub(super) fn release(&self) {
        let _ = self.0.unlock();
    }
}

/// The membership of this program.
pub(super) struct SharedDir {
    dir: PrivateDir,
    row: File,
    drawn: File,
}

impl SharedDir {
    /// Joins the pipeline; `None` if there is no private folder.
    pub(super) fn join(row: &Row) -> Option<(Self, DrawLock)> {
        let terminal = fstat(rustix::stdio::stderr()).ok()?.st_rdev;
        let group = getpgrp().as_raw_nonzero();
        let name = format!("{}{terminal:x}-{group}", prefix());
        let private = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let private = private.filter(|path| path.is_absolute());
        for base in private.into_iter().chain([std::env::temp_dir()]) {
            // The last program of an earlier pipeline may be removing it.
            for _ in 0..10 {
                match Self::enter(base.join(&name), row) {
                    Ok(joined) => return Some(joined),
                    Err(Errno::NOENT) => {}
                    Err(_) => break,
                }
            }
        }
        None
    }

    fn enter(path: PathBuf, row: &Row) -> Result<(Self, DrawLock)> {
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let dir = PrivateDir::open(path)?;
        dir.lock()?;
        let create = OFlags::RDWR | OFlags::CREATE;
        let drawn = dir.file(DRAWN, create)?;
        if dir.rows().is_empty() {
            // It belongs to an earlier process group of this number, and has
            // scrolled away.
            drop(drawn.set_len(0));
        }
        let draw_lock = DrawLock(dir.file(DRAWN, OFlags::RDWR)?);
        let own = dir.file(&row.pid.to_string(), create | OFlags::TRUNC)?;
        own.try_lock().map_err(|_| Errno::AGAIN)?;
        let shared = Self {
            dir,
            row: own,
            drawn,
        };
        shared.publish(row);
        shared.dir.handle.unlock().map_err(|error| errno(&error))?;
        Ok((shared, draw_lock))
    }

    pub(super) fn publish(&self, row: &Row) {
        // The next tick writes it again.
        drop(self.row.write_all_at(row.to_line().as_bytes(), 0));
    }

    /// Locks the terminal; others hold the lock during a write.
    pub(super) fn lock(&self) -> TerminalLock<'_> {
        // Waiting does not help on a file system without locks.
        let _ = self.dir.lock();
        TerminalLock(self)
    }

    /// Removes the folders of other pipelines that were killed.
    pub(super) fn sweep_others(&self) {
        let Some(base) = self.dir.path.parent() else {
            return;
        };
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = name.to_string_lossy().starts_with(&prefix());
            if !ours || entry.path() == self.dir.path {
                continue;
            }
            if let Ok(dir) = PrivateDir::open(entry.path())
                && dir.handle.try_lock().is_ok()
                && dir.rows().is_empty()
            {
                dir.remove();
            }
        }
    }
}

/// The lock on the terminal, and access to the shared folder under it.
pub(super) struct TerminalLock<'a>(&'a SharedDir);

impl TerminalLock<'_> {
    /// Returns the rows of the living programs, in pipeline order.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.0.dir.rows()
    }

    /// Returns the block on the screen, if the cursor is still below it.
    pub(super) fn drawn(&self) -> String {
        self.read_drawn().unwrap_or_default()
    }

    fn read_drawn(&self) -> Option<String> {
        let file = self.0.drawn.metadata().ok()?;
        let age = file.modified().ok()?.elapsed().unwrap_or_default();
        if age > FORGOTTEN {
            return None;
        }
        let mut text = vec![0; usize::try_from(file.len()).ok()?];
        self.0.drawn.read_exact_at(&mut text, 0).ok()?;
        String::from_utf8(text).ok()
    }

    pub(super) fn set_drawn(&self, block: &str) {
        let file = &self.0.drawn;
        let length = u64::try_from(block.len()).unwrap_or(0);
        // If it cannot be saved, the next frame does not erase this block.
        drop(
            file.write_all_at(block.as_bytes(), 0)
                .and(file.set_len(length)),
        );
    }

    /// Removes the row of this program.
    pub(super) fn withdraw(&self) {
        let _ = self.0.row.unlock();
        self.0.dir.unlink(&std::process::id().to_string());
    }

    /// Removes the folder, after the last program.
    pub(super) fn remove(&self) {
        self.0.dir.remove();
    }
}

impl Drop for TerminalLock<'_> {
    fn drop(&mut self) {
        let _ = self.0.dir.handle.unlock();
    }
}

/// An open folder that belongs to this user.
struct PrivateDir {
    path: PathBuf,
    handle: File,
}

impl PrivateDir {
    fn open(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        let found = fstat(&handle)?;
        let private = Mode::from_raw_mode(found.st_mode) & (Mode::RWXG | Mode::RWXO);
        if found.st_uid != getuid().as_raw() || !private.is_empty() {
            return Err(Errno::ACCESS);
        }
        Ok(Self { path, handle })
    }

    fn lock(&self) -> Result<()> {
        loop {
            match self.handle.lock().map_err(|error| errno(&error)) {
                Err(Errno::INTR) => {}
                done => return done,
            }
        }
    }

    fn file(&self, name: &str, flags: OFlags) -> Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    fn unlink(&self, name: &str) {
        let _ = unlinkat(&self.handle, name, AtFlags::empty());
    }

    /// Returns the rows of the living programs, and removes the files of the
    /// others.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for name in self.names() {
            let Ok(pid) = name.parse() else { continue };
            let Ok(mut file) = self.file(&name, OFlags::RDONLY) else {
                continue;
            };
            if file.try_lock_shared().is_ok() {
                self.unlink(&name);
                continue;
            }
            let mut line = String::new();
            if file.read_to_string(&mut line).is_ok() {
                rows.extend(Row::from_line(pid, &line));
            }
        }
        rows.sort_by_key(Row::sort_key);
        rows
    }

    fn names(&self) -> Vec<String> {
        let entries = Dir::read_from(&self.handle).into_iter().flatten().flatten();
        let name = |entry: rustix::fs::DirEntry| entry.file_name().to_str().map(str::to_owned).ok();
        entries.filter_map(name).collect()
    }

    fn remove(&self) {
        self.unlink(DRAWN);
        let _ = rustix::fs::rmdir(&self.path);
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn prefix() -> String {
    format!("buildhub-pipes-progress-{}-", getuid().as_raw())
}
