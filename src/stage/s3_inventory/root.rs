//! Where the files of a manifest are.

use std::path::{Component, Path, PathBuf};

use super::location::FileLocation;
use crate::inventory::manifest::ManifestFile;

/// What the keys of a manifest are relative to.
pub enum Root {
    Folder(PathBuf),
    Bucket(String, String),
}

impl Root {
    /// Returns the place of a file that a manifest lists.
    ///
    /// # Errors
    /// It is outside of the folder, or no file.
    pub fn place(&self, listed: &ManifestFile) -> Result<FileLocation, String> {
        match self {
            Self::Bucket(bucket, prefix) => Ok(FileLocation::Object {
                bucket: bucket.clone(),
                key: format!("{prefix}{}", listed.key),
            }),
            Self::Folder(folder) => below(folder, &listed.key).map(FileLocation::Local),
        }
    }
}

/// Returns the file that a manifest calls `key`, in a copy of its bucket or of its files alone.
///
/// # Errors
/// It is outside of the folder, or no file.
fn below(folder: &Path, key: &str) -> Result<PathBuf, String> {
    let is_name = |part| matches!(part, Component::Normal(_));
    let refused = |why| {
        let folder = folder.display();
        Err(format!(
            "its file {key:?} {why}, so it is not read; put the files into {folder}, or get the \
             manifest from where you trust it"
        ))
    };
    if !Path::new(key).components().all(is_name) {
        return refused("leaves the folder of --files");
    }
    let whole = folder.join(key);
    let path = if whole.exists() {
        whole
    } else {
        folder.join(key.rsplit('/').next().unwrap_or(key))
    };
    // A file that is missing is reported when it is read.
    let Ok(real) = path.canonicalize() else {
        return Ok(path);
    };
    if !folder
        .canonicalize()
        .is_ok_and(|folder| real.starts_with(folder))
    {
        return refused("is a link that leaves the folder of --files");
    }
    if !real.is_file() {
        return refused("is not a regular file");
    }
    Ok(path)
}
