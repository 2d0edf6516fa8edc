//! Files that are replaced whole or not at all, in folders that others may write to, too.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error;

/// Links to follow before they are called a circle, as Linux does.
const MOST_LINKS: usize = 40;

/// Replaces the file that `path` names by what `write` writes: readers see the
/// old file or the new one, also after a power cut.
///
/// Where `path` is a symbolic link, the file it points to is replaced.
///
/// # Errors
/// The file is as it was before, unless only the folder could not be synced.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let path = follow_links(path)?;
    // Always the same name, so the next run replaces what a killed run left.
    let temporary = beside(&path, ".tmp");
    let mut file = create_alone(&temporary)?;
    write(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, &path))
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))?;
    File::open(folder(&path))?.sync_all()
}

/// Creates an empty file, or empties what a killed run left; waits while
/// another run writes its own. Removes what another user put there.
fn create_alone(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    loop {
        let file = match open_regular(path, &mut options) {
            Ok(file) if is_own(&file.metadata()?) => file,
            Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
            _ => {
                // Where everybody may write, nobody removes what is another user's.
                std::fs::remove_file(path).map_err(|_| foreign(path))?;
                continue;
            }
        };
        // Where a file system has no locks, two runs are not kept apart.
        drop(file.lock());
        // The other run has renamed it meanwhile.
        let identity = |data: std::fs::Metadata| (data.dev(), data.ino());
        if path.metadata().map(identity).ok() == Some(identity(file.metadata()?)) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

fn is_own(data: &std::fs::Metadata) -> bool {
    data.nlink() == 1 && data.uid() == geteuid().as_raw()
}

/// Opens a regular file, and follows no link.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if something else is there.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> Result<File> {
    // Otherwise, opening a pipe would wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let other = || Error::new(ErrorKind::InvalidInput, "not a regular file; remove it");
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => other(),
        _ => error,
    })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(other())
    }
}

/// Opens a regular file whose content is believed: one of this user, of root, or of the owner
/// of its folder.
///
/// # Errors
/// [`ErrorKind::PermissionDenied`] if it is another user's, and those of [`follow_links`] and
/// [`open_regular`].
pub fn open_own(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let path = follow_links(path)?;
    let file = open_regular(&path, options)?;
    if is_trusted(&file.metadata()?, &folder(&path).metadata()?) {
        Ok(file)
    } else {
        Err(foreign(&path))
    }
}

/// Checks that no other user has put there what is at `path`, in a folder that everybody may
/// write to, such as /tmp. Linux can check this, too, but need not.
fn check_owner(path: &Path) -> Result<()> {
    let (Ok(data), Ok(folder)) = (path.symlink_metadata(), folder(path).metadata()) else {
        return Ok(());
    };
    if folder.mode() & Mode::WOTH.bits() == 0 || is_trusted(&data, &folder) {
        Ok(())
    } else {
        Err(foreign(path))
    }
}

fn is_trusted(data: &std::fs::Metadata, folder: &std::fs::Metadata) -> bool {
    [0, geteuid().as_raw(), folder.uid()].contains(&data.uid())
}

fn foreign(path: &Path) -> Error {
    let message = format!(
        "{} belongs to another user; remove it, or use a folder of your own",
        path.display()
    );
    Error::new(ErrorKind::PermissionDenied, message)
}

/// Returns the path that `path` points to if it is a symbolic link, else `path`;
/// nothing has to exist there.
///
/// # Errors
/// The links form a circle, or one of them, or the file, is what another user has put into a
/// folder that everybody may write to ([`ErrorKind::PermissionDenied`]).
pub fn follow_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        check_owner(&path)?;
        match path.read_link() {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Error::from(Errno::LOOP))
}

/// Returns `path` with `ending` appended to its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Returns whether the first `length` bytes of a regular file, opened for reading,
/// end in half a line.
pub fn is_torn(file: &File, length: u64) -> Result<bool> {
    let Some(at) = length.checked_sub(1) else {
        return Ok(false);
    };
    let mut last = [0];
    file.read_exact_at(&mut last, at)?;
    Ok(last != *b"\n")
}

/// Waits until the name of the file at `path` is on disk.
pub fn sync_folder_of(path: &Path) -> Result<()> {
    File::open(folder(&follow_links(path)?))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Returns whether this process may create files in a folder.
pub fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Returns what makes an error (74) of a failure to write `path` in the folder that `flag` names.
pub fn in_folder(flag: &str, folder: &Path, path: &Path) -> impl Fn(Error) -> error::Error + use<> {
    let missing = format!("{flag} {}: no such folder; create it", folder.display());
    let place = path.display().to_string();
    move |failure| match failure.kind() {
        ErrorKind::NotFound => error::Error::message(error::Kind::LocalIo, &missing),
        _ => error::Error::local(&place)(failure),
    }
}
