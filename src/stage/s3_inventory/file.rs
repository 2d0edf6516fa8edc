//! A file of an inventory: its location, and what the manifest says.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use super::location::FileLocation;
use crate::error::{Error, Kind, Result};
use crate::inventory::columns::Layout;

/// A file to read.
pub struct InventoryFile {
    pub place: FileLocation,
    /// Its name in messages.
    pub name: String,
    /// Its columns, if it is CSV.
    pub layout: Layout,
    /// The bucket that it lists, by the manifest.
    pub bucket: Option<String>,
    /// Bytes, by the manifest.
    pub size: Option<u64>,
    /// In hexadecimal, by the manifest.
    pub md5: Option<String>,
    /// Distinguishes it from a later file of the same name, to resume.
    pub identity: String,
    /// The version of a file without a manifest: its size and time, or its `ETag` in a bucket.
    pub version: Option<String>,
}

impl InventoryFile {
    /// Checks that `disk`, which was read, has not changed since it was found.
    ///
    /// # Errors
    /// It was changed or replaced (75).
    pub fn check(&self, disk: &File) -> Result<()> {
        let now = disk.metadata().map_err(Error::local(&self.name))?;
        if self.version.is_none() || self.version == version(&now) {
            return Ok(());
        }
        Err(Error::message(
            Kind::EndedEarly,
            format!("{}: changed while it was read; run again", self.name),
        ))
    }
}

/// Returns the size and time of a regular file, for others `None`.
pub fn version(data: &Metadata) -> Option<String> {
    let (seconds, nanos) = (data.mtime(), data.mtime_nsec());
    let text = format!("{} bytes of {seconds}.{nanos:09}", data.len());
    data.is_file().then_some(text)
}
