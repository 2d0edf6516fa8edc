//! A file that is read: where it is, and what is known of it before.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use super::source::FileLocation;
use crate::error::{Error, Kind, Result};
use crate::inventory::columns::Layout;

pub struct InventoryFile {
    pub place: FileLocation,
    /// In messages.
    pub name: String,
    /// Of its columns, if it is CSV.
    pub layout: Layout,
    /// The bucket that it lists, as the manifest says.
    pub bucket: Option<String>,
    /// As the manifest says.
    pub size: Option<u64>,
    pub md5: Option<String>,
    /// What tells it from another of this name.
    pub identity: String,
    /// Of one that is here, and that no manifest describes.
    pub version: Option<String>,
}

impl InventoryFile {
    /// Checks that `disk`, which was read, is as it was when it was found.
    ///
    /// # Errors
    /// It was changed, or replaced, meanwhile (75).
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

/// Returns the size and time of a file, `None` of what is no file.
pub fn version(data: &Metadata) -> Option<String> {
    let (seconds, nanos) = (data.mtime(), data.mtime_nsec());
    let text = format!("{} bytes of {seconds}.{nanos:09}", data.len());
    data.is_file().then_some(text)
}
