//! The archive as the bucket that it is served from.

use super::{ArchiveFolder, FolderFile};
use crate::error::Result;
use crate::json;
use crate::listing::{Page, ResponseKeys};
use crate::remote::concurrency::ConcurrencyLimit;
use crate::remote::s3::{Bucket, S3};
use crate::retry::Failure;

/// A bucket with the folders of the archive.
pub struct ArchiveBucket {
    s3: S3,
    bucket: Bucket,
}

impl ArchiveBucket {
    pub fn new(s3: S3, bucket: &str, concurrency: usize) -> Self {
        let bucket = Bucket::new(bucket, ConcurrencyLimit::new(concurrency, None));
        Self { s3, bucket }
    }

    /// Returns an object; sends one request, without retries.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>, Failure> {
        self.s3.try_read(&self.bucket.name, key).await
    }

    /// Returns the content of the folder `prefix`, `None` if it is empty.
    pub async fn list(&self, prefix: &str) -> Result<Option<ArchiveFolder>> {
        let mut folder = ArchiveFolder::default();
        let take = |mut page: Page| {
            let names = std::mem::take(&mut page.prefixes).into_iter();
            let names = names.filter_map(|name| relative_name(prefix, &name));
            folder.folders.extend(names);
            let all = 0..page.len();
            let lines = page.into_lines(&all);
            let lines = lines.split(|byte| *byte == b'\n');
            folder
                .files
                .extend(lines.filter_map(|line| file(prefix, line)));
        };
        self.s3.list_children(&self.bucket, prefix, take).await?;
        let is_empty = folder.folders.is_empty() && folder.files.is_empty();
        Ok((!is_empty).then_some(folder))
    }
}

fn relative_name(prefix: &str, key: &str) -> Option<String> {
    let name = key.strip_prefix(prefix)?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn file(prefix: &str, line: &[u8]) -> Option<FolderFile> {
    let members = json::members(line).ok()?;
    let text = |name: &str| {
        let text = members.get(name)?.text?;
        Some(text.to_string_lossy().into_owned())
    };
    let size = members.value("size").unwrap_or_default();
    Some(FolderFile {
        name: relative_name(prefix, &text("key")?)?,
        size: String::from_utf8_lossy(size).into_owned(),
        last_modified: text("last_modified").unwrap_or_default(),
    })
}
