//! Files that are there whole or not at all.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces the file `path` by what `write` writes.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    // The error's text names the temporary file, which says nothing to a user.
    let mut file =
        NamedTempFile::new_in(folder(path)).map_err(|error| std::io::Error::from(error.kind()))?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(path)
}

/// Whether a regular file, opened for reading, ends in half a line.
pub fn is_torn(file: &File) -> Result<bool> {
    let Some(at) = file.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut last = [0];
    file.read_exact_at(&mut last, at)?;
    Ok(last != *b"\n")
}

/// What has been made or renamed at `path` stays so.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
