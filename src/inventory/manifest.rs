//! The manifest of an inventory: its files and their columns.

use std::collections::HashSet;

use serde::Deserialize;

/// The `manifest.json` of an inventory, as S3 writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryManifest {
    /// The bucket that is listed.
    #[serde(default)]
    pub source_bucket: Option<String>,
    /// The bucket of the files: a name, or an ARN that ends with it.
    #[serde(default)]
    destination_bucket: Option<String>,
    #[serde(default)]
    file_format: Option<String>,
    #[serde(default)]
    pub file_schema: Option<String>,
    pub files: Vec<ManifestFile>,
}

/// A file in the manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct ManifestFile {
    pub key: String,
    pub size: Option<u64>,
    #[serde(rename = "MD5checksum")]
    pub md5: Option<String>,
}

/// The format of the files of an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryFormat {
    Csv,
    Parquet,
}

impl InventoryManifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// The text is not a manifest, or it names no file, or one file twice.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| format!("not the manifest of an inventory: {error}"))?;
        if manifest.files.is_empty() {
            return Err("names no files: read another inventory of this bucket".to_owned());
        }
        let mut keys = HashSet::new();
        match manifest.files.iter().find(|file| !keys.insert(&file.key)) {
            Some(file) => Err(format!("names {} twice; download it again", file.key)),
            None => Ok(manifest),
        }
    }

    /// Returns the format of the files.
    ///
    /// # Errors
    /// The format is not supported.
    pub fn format(&self) -> Result<InventoryFormat, String> {
        match self.file_format.as_deref().unwrap_or("CSV") {
            "CSV" => Ok(InventoryFormat::Csv),
            "Parquet" => Ok(InventoryFormat::Parquet),
            other => Err(format!(
                "its files are {other}, and CSV and Parquet are read: configure the inventory so"
            )),
        }
    }

    /// Returns the bucket of the files.
    pub fn destination(&self) -> Option<&str> {
        let bucket = self.destination_bucket.as_deref()?;
        bucket.rsplit(':').next()
    }
}

/// Returns whether a folder is named after the time of an inventory, such as
/// 2026-11-21T01-00Z.
pub fn is_dated(folder: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00-00Z";
    folder.len() == FORM.len()
        && folder.bytes().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == *form,
        })
}
