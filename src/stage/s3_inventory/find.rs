//! Finds the files to read: named, in a folder, or in a manifest.

use std::io::Write;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::file::{InventoryFile, version};
use super::location::{FileLocation, LazyS3, unreadable};
use super::parquet_schema::promised;
use super::root::Root;
use super::{Args, Mozilla};
use crate::disk;
use crate::error::{Error, Result};
use crate::hex;
use crate::inventory::columns::{Layout, USUAL};
use crate::inventory::manifest::{self, InventoryFormat, InventoryManifest};
use crate::record::s3::split_url;
use crate::remote::concurrency::ConcurrencyLimit;
use crate::remote::s3::Bucket;

/// The files of an inventory, in the order in which they are written.
pub struct Inventory {
    /// As named on the command line.
    pub inputs: Vec<String>,
    pub files: Vec<InventoryFile>,
}

const MOZILLA: &str = "net-mozaws-prod-delivery-inventory-us-east-1";

impl Inventory {
    /// Finds the files that the command line names.
    ///
    /// # Errors
    /// A file or manifest cannot be read, or is not that of an inventory (78).
    pub fn find(args: &Args, s3: &LazyS3) -> Result<Self> {
        let layout = match &args.columns {
            // Further columns of a row are ignored.
            None => Layout::parse(USUAL),
            Some(names) => Layout::parse(names).map(Layout::complete),
        };
        let layout = layout.map_err(|error| Error::usage(format!("--columns: {error}")))?;
        let mut search = Search {
            args,
            s3,
            layout,
            files: Vec::new(),
        };
        let (inputs, manifest_below) = match (args.mozilla, &args.latest) {
            (Some(name), _) => (vec![format!("--mozilla {}", name.text())], Some(name.url())),
            (None, Some(url)) => (vec![format!("--latest {url}")], Some(url.clone())),
            (None, None) if args.inputs.is_empty() => (vec!["-".to_owned()], None),
            (None, None) => (args.inputs.clone(), None),
        };
        match manifest_below {
            Some(url) => search.latest(&url)?,
            None => inputs.iter().try_for_each(|input| search.input(input))?,
        }
        let files = search.files;
        if files
            .iter()
            .filter(|file| file.place == FileLocation::Stdin)
            .count()
            > 1
        {
            return Err(Error::usage("standard input can be read once only"));
        }
        Ok(Self { inputs, files })
    }

    /// Returns the number of the file that is standard input.
    pub fn streamed(&self) -> Option<usize> {
        self.files
            .iter()
            .position(|file| file.place == FileLocation::Stdin)
    }

    /// Returns a hash of the names and identities of all files, to resume.
    pub fn digest(&self) -> String {
        let mut digest = Md5::new();
        for file in &self.files {
            for part in [&file.name, &file.identity] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        }
        hex::text(&digest.finalize())
    }
}

impl Mozilla {
    fn text(self) -> &'static str {
        match self {
            Self::Firefox => "firefox",
            Self::Archive => "archive",
        }
    }

    /// Returns the bucket that is listed.
    fn bucket(self) -> String {
        format!("net-mozaws-prod-delivery-{}", self.text())
    }

    fn url(self) -> String {
        let (bucket, name) = (self.bucket(), self.text());
        format!("s3://{MOZILLA}/public/inventories/{bucket}/delivery-{name}/")
    }
}

struct Search<'a> {
    args: &'a Args,
    s3: &'a LazyS3,
    layout: Layout,
    files: Vec<InventoryFile>,
}

impl Search<'_> {
    fn input(&mut self, input: &str) -> Result<()> {
        let place = FileLocation::parse(input)?;
        if has_ending(input, ".json") {
            let text = self.checked(&place, input)?;
            let bucket = match &place {
                FileLocation::Object { bucket, .. } => Some(bucket.as_str()),
                _ => None,
            };
            return self.manifest(bucket, input, &text);
        }
        match place {
            FileLocation::Local(path) => {
                let data = path.metadata().map_err(|error| unreadable(&path, &error))?;
                if data.is_dir() {
                    return self.folder(&path);
                }
                self.local(path)
            }
            FileLocation::Stdin => {
                self.files
                    .push(self.file(place, "standard input".to_owned()));
                Ok(())
            }
            FileLocation::Object {
                ref bucket,
                ref key,
            } => {
                let (runtime, s3) = self.s3.open()?;
                let version = runtime.block_on(s3.etag(bucket, key))?;
                self.files.push(InventoryFile {
                    identity: version.clone().unwrap_or_default(),
                    version,
                    ..self.file(place, input.to_owned())
                });
                Ok(())
            }
        }
    }

    fn file(&self, place: FileLocation, name: String) -> InventoryFile {
        InventoryFile {
            place,
            name,
            layout: self.layout.clone(),
            size: None,
            md5: None,
            identity: String::new(),
            bucket: None,
            version: None,
        }
    }

    fn local(&mut self, path: PathBuf) -> Result<()> {
        let data = path.metadata().map_err(|error| unreadable(&path, &error))?;
        let name = path.display().to_string();
        let mut file = self.file(FileLocation::Local(path), name);
        file.version = version(&data);
        // A pipe has other content each time.
        let random = || uuid::Uuid::new_v4().to_string();
        file.identity = file.version.clone().unwrap_or_else(random);
        self.files.push(file);
        Ok(())
    }

    /// Adds the inventory files below a folder, sorted by name.
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            let entries = folder
                .read_dir()
                .map_err(|error| unreadable(&folder, &error))?;
            for entry in entries {
                let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
                if path.is_dir() {
                    open.push(path);
                } else if [".csv.gz", ".csv", ".parquet"]
                    .iter()
                    .any(|end| has_ending(&path.to_string_lossy(), end))
                {
                    found.push(path);
                }
            }
        }
        if found.is_empty() {
            return Err(Error::configuration(format!(
                "{}: no .csv.gz, .csv or .parquet is in this folder",
                folder.display()
            )));
        }
        found.sort();
        found.into_iter().try_for_each(|path| self.local(path))
    }

    /// Returns the text of a manifest, after a check of the MD5 in the file beside it.
    fn checked(&self, place: &FileLocation, name: &str) -> Result<Vec<u8>> {
        let text = self.s3.read(place)?;
        let Some(expected) = self.s3.read_if_there(&place.with_extension("checksum"))? else {
            return Ok(text);
        };
        let expected = String::from_utf8_lossy(&expected)
            .trim()
            .to_ascii_lowercase();
        let md5 = hex::text(&Md5::digest(&text));
        if expected != md5 {
            return Err(Error::configuration(format!(
                "{name}: has the MD5 {md5}, and its checksum file says {expected:?}; download \
                 both again"
            )));
        }
        Ok(text)
    }

    /// Adds the files of a manifest; `bucket` is where it came from, if it is not local.
    fn manifest(&mut self, bucket: Option<&str>, name: &str, text: &[u8]) -> Result<()> {
        let wrong = |error: String| Error::configuration(format!("{name}: {error}"));
        let manifest = InventoryManifest::parse(text).map_err(wrong)?;
        let layout = match (manifest.format().map_err(wrong)?, &manifest.file_schema) {
            (InventoryFormat::Csv, Some(schema)) => {
                Layout::parse(schema).map_err(wrong)?.complete()
            }
            (InventoryFormat::Parquet, Some(schema)) => match promised(schema) {
                Some(layout) => layout.map_err(wrong)?,
                None => self.layout.clone(),
            },
            _ => self.layout.clone(),
        };
        if let (Some(asked), Some(source)) = (self.args.mozilla, &manifest.source_bucket)
            && *source != asked.bucket()
        {
            return Err(wrong(format!(
                "lists {source}, not {}; use another manifest",
                asked.bucket()
            )));
        }
        let root = self.root(bucket, &manifest, name)?;
        for listed in manifest.files {
            let place = root.place(&listed).map_err(wrong)?;
            let name = match &place {
                FileLocation::Object { bucket, key } => format!("s3://{bucket}/{key}"),
                FileLocation::Local(path) => path.display().to_string(),
                FileLocation::Stdin => continue,
            };
            self.files.push(InventoryFile {
                place,
                name,
                layout: layout.clone(),
                bucket: manifest.source_bucket.clone(),
                identity: format!("{:?} {:?}", listed.size, listed.md5),
                version: None,
                size: listed.size,
                md5: listed.md5.map(|md5| md5.to_ascii_lowercase()),
            });
        }
        Ok(())
    }

    /// Returns the place that the keys of a manifest are relative to.
    fn root(&self, bucket: Option<&str>, manifest: &InventoryManifest, name: &str) -> Result<Root> {
        if let Some(files) = &self.args.files {
            let Some((bucket, prefix)) = split_url(files) else {
                return Ok(Root::Folder(files.into()));
            };
            self.s3.open()?;
            return Ok(Root::Bucket(bucket.to_owned(), prefix.to_owned()));
        }
        let prefix = if self.args.mozilla.is_some() {
            "public/"
        } else {
            ""
        };
        let bucket = bucket.or_else(|| manifest.destination()).ok_or_else(|| {
            Error::configuration(format!(
                "{name}: does not name the bucket of its files; use --files"
            ))
        })?;
        self.s3.open()?;
        Ok(Root::Bucket(bucket.to_owned(), prefix.to_owned()))
    }

    /// Adds the files of the newest inventory below `url`, or of the kept manifest.
    fn latest(&mut self, url: &str) -> Result<()> {
        let (bucket, prefix) = split_url(url)
            .ok_or_else(|| Error::usage(format!("--latest {url}: expected s3://bucket/prefix/")))?;
        if let Some(path) = &self.args.keep_manifest
            && path.exists()
        {
            let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            let name = path.display().to_string();
            self.manifest(Some(bucket), &name, &text)?;
            return self.check_below(prefix, &name, url);
        }
        let mut prefix = prefix.to_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let folders = self.folders(bucket, &prefix)?;
        let dated = folders.iter().filter(|folder| {
            let name = folder.strip_prefix(&prefix).unwrap_or(folder);
            manifest::is_dated(name.trim_end_matches('/'))
        });
        let newest = dated.max().ok_or_else(|| {
            Error::configuration(format!(
                "s3://{bucket}/{prefix}: no folder here is named like 2026-11-21T01-00Z; use the \
                 prefix that ends with the name of the inventory"
            ))
        })?;
        let key = format!("{newest}manifest.json");
        let name = format!("s3://{bucket}/{key}");
        let place = FileLocation::Object {
            bucket: bucket.to_owned(),
            key,
        };
        let text = self.checked(&place, &name)?;
        self.manifest(Some(bucket), &name, &text)?;
        match &self.args.keep_manifest {
            Some(path) => disk::replace(path, |file| file.write_all(&text))
                .map_err(Error::local(path.display())),
            None => Ok(()),
        }
    }

    /// Checks that the files of a kept manifest are below `url`.
    fn check_below(&self, prefix: &str, name: &str, url: &str) -> Result<()> {
        let is_below = |file: &InventoryFile| match &file.place {
            FileLocation::Object { key, .. } => key.starts_with(prefix),
            _ => true,
        };
        if self.files.iter().all(is_below) {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "{name}: its files are not below {url}, so it belongs to another inventory; use \
             another --keep-manifest"
        )))
    }

    /// Returns the folders directly below a prefix.
    fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let (runtime, s3) = self.s3.open()?;
        let bucket = Bucket::new(bucket, ConcurrencyLimit::new(1, None));
        let mut folders = Vec::new();
        let listed = s3.list_children(&bucket, prefix, |page| folders.extend(page.prefixes));
        runtime.block_on(listed)?;
        Ok(folders)
    }
}

/// Returns whether a name ends with `end`, in upper or lower case.
pub fn has_ending(name: &str, end: &str) -> bool {
    let start = name.len().checked_sub(end.len());
    start.is_some_and(|start| name.as_bytes()[start..].eq_ignore_ascii_case(end.as_bytes()))
}
