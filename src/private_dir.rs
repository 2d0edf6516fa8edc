//! A folder that belongs to this user alone, for what the programs of one user share.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::{Errno, Result};
use rustix::process::getuid;

/// An open folder that belongs to this user.
pub struct PrivateDir {
    pub path: PathBuf,
    pub handle: File,
}

/// Unlocks the folder when it is dropped.
pub struct DirLock<'a>(&'a File);

impl Drop for DirLock<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl PrivateDir {
    /// Opens the folder `path`, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or belongs to another user, or others may enter it.
    pub fn enter(path: PathBuf) -> Result<Self> {
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder `path`.
    ///
    /// # Errors
    /// It is missing, or belongs to another user, or others may enter it.
    pub fn open(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        let found = fstat(&handle)?;
        let private = Mode::from_raw_mode(found.st_mode) & (Mode::RWXG | Mode::RWXO);
        if found.st_uid != getuid().as_raw() || !private.is_empty() {
            return Err(Errno::ACCESS);
        }
        Ok(Self { path, handle })
    }

    /// Locks the folder, where its file system has locks.
    pub fn lock(&self) -> DirLock<'_> {
        while let Err(error) = self.handle.lock()
            && error.kind() == std::io::ErrorKind::Interrupted
        {}
        DirLock(&self.handle)
    }

    /// Opens a file of the folder.
    pub fn file(&self, name: &str, flags: OFlags) -> Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    pub fn unlink(&self, name: &str) {
        let _ = unlinkat(&self.handle, name, AtFlags::empty());
    }

    /// Returns the names in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = Dir::read_from(&self.handle).into_iter().flatten().flatten();
        let name = |entry: rustix::fs::DirEntry| entry.file_name().to_str().map(str::to_owned).ok();
        entries.filter_map(name).collect()
    }
}

/// Returns the folders in which a user's programs may share something, the best first.
pub fn bases() -> impl Iterator<Item = PathBuf> {
    let private = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let private = private.filter(|path| path.is_absolute());
    private.into_iter().chain([std::env::temp_dir()])
}

/// Returns the name of a folder of this user for `purpose`.
pub fn name_for(purpose: &str) -> String {
    format!("buildhub-pipes-{purpose}-{}", getuid().as_raw())
}

/// Returns a path to `name` in the folder of `handle` that is short, whatever that of the
/// folder is: the name of a socket has at most 107 bytes.
pub fn short_path(handle: &File, name: &str) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd")
        .join(handle.as_raw_fd().to_string())
        .join(name)
}
