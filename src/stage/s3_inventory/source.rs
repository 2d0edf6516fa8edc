//! Where files are, and their bytes, checked against the manifest.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use md5::{Digest, Md5};
use tokio::runtime::{Handle, Runtime};

use super::{Args, Mozilla};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::hex;
use crate::ndjson::Io;
use crate::record::s3::split_url;
use crate::remote::s3::{S3, S3Args};
use crate::remote::{self, download::Download};

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileLocation {
    Stdin,
    Local(PathBuf),
    Object { bucket: String, key: String },
}

impl FileLocation {
    pub fn parse(input: &str) -> Result<Self> {
        if input == "-" {
            return Ok(Self::Stdin);
        }
        if !input.starts_with("s3://") {
            return Ok(Self::Local(input.into()));
        }
        match split_url(input) {
            Some((bucket, key)) if !key.is_empty() && !key.ends_with('/') => Ok(Self::Object {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            }),
            _ => Err(Error::usage(format!(
                "{input}: expected an object, such as s3://bucket/…/manifest.json; --latest \
                 finds the newest one below a prefix"
            ))),
        }
    }
}

impl FileLocation {
    /// The file beside it whose name ends with this instead.
    pub fn beside(&self, extension: &str) -> Self {
        match self {
            Self::Stdin => Self::Stdin,
            Self::Local(path) => Self::Local(path.with_extension(extension)),
            Self::Object { bucket, key } => {
                let start = key
                    .rsplit_once('.')
                    .map_or(key.as_str(), |(start, _)| start);
                Self::Object {
                    bucket: bucket.clone(),
                    key: format!("{start}.{extension}"),
                }
            }
        }
    }
}

/// What a preset says of the bucket: it is public, and where.
pub fn access(args: &Args) -> S3Args {
    let mut s3 = args.s3.clone();
    if let Some(Mozilla::Firefox | Mozilla::Archive) = args.mozilla {
        s3.no_sign_request = true;
        s3.region.get_or_insert_with(|| "us-east-1".to_owned());
    }
    s3
}

/// The way to object storage, opened when it is needed.
pub struct LazyS3 {
    args: S3Args,
    pub context: Context,
    open: OnceCell<(Runtime, S3)>,
}

impl LazyS3 {
    pub fn new(args: &Args, io: &Io) -> Self {
        Self {
            args: access(args),
            context: io.context.clone(),
            open: OnceCell::new(),
        }
    }

    pub fn s3(&self) -> Result<(&Runtime, &S3)> {
        if self.open.get().is_none() {
            let runtime = remote::runtime("s3-inventory", Some(2))?;
            let opened = S3::open(&self.args, &self.context);
            let s3 = runtime.block_on(opened)?;
            // Nobody else has put one there meanwhile.
            drop(self.open.set((runtime, s3)));
        }
        let opened = self.open.get().map(|(runtime, s3)| (runtime, s3));
        opened.ok_or_else(|| Error::configuration("object storage could not be opened"))
    }

    /// What threads fetch by; `None` where nothing is in object storage.
    pub fn fetch(&self) -> Option<(Handle, S3)> {
        let (runtime, s3) = self.open.get()?;
        Some((runtime.handle().clone(), s3.clone()))
    }

    pub fn endpoint(&self) -> Option<String> {
        self.open.get()?.1.endpoint().map(str::to_owned)
    }

    /// All of a small file.
    pub fn read(&self, place: &FileLocation) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match place {
            FileLocation::Object { bucket, key } => {
                let (runtime, s3) = self.s3()?;
                let _patience = self
                    .context
                    .log
                    .notify_if_slow(format!("getting s3://{bucket}/{key}"));
                let mut object = Download::start(runtime.handle(), s3.clone(), bucket, key);
                while let Some(piece) = object.next().transpose()? {
                    bytes.extend_from_slice(&piece);
                }
            }
            FileLocation::Local(path) => {
                File::open(path)
                    .and_then(|mut file| file.read_to_end(&mut bytes))
                    .map_err(|error| unreadable(path, &error))?;
            }
            FileLocation::Stdin => {}
        }
        Ok(bytes)
    }

    /// All of a small file, if it is there.
    pub fn read_if_there(&self, place: &FileLocation) -> Result<Option<Vec<u8>>> {
        match place {
            FileLocation::Object { bucket, key } => {
                let (runtime, s3) = self.s3()?;
                runtime.block_on(s3.read_if_there(bucket, key))
            }
            FileLocation::Local(path) if !path.exists() => Ok(None),
            place => self.read(place).map(Some),
        }
    }

    /// Leaves without waiting for what is still on its way.
    pub fn leave(self) {
        if let Some((runtime, _)) = self.open.into_inner() {
            runtime.shutdown_background();
        }
    }
}

/// A file that was named and cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::configuration(format!("{}: {error}", path.display()))
}

/// An object as it comes.
pub struct DownloadReader {
    object: Download,
    piece: Bytes,
}

impl DownloadReader {
    pub fn new(object: Download) -> Self {
        Self {
            object,
            piece: Bytes::new(),
        }
    }
}

impl Read for DownloadReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.object.next() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let taken = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

/// Bytes that are counted on their way, and hashed where that is asked for.
pub struct CountingReader<R> {
    from: R,
    pub bytes: u64,
    md5: Option<Md5>,
}

impl<R: Read> CountingReader<R> {
    pub fn new(from: R, hashed: bool) -> Self {
        Self {
            from,
            bytes: 0,
            md5: hashed.then(Md5::new),
        }
    }

    /// The first four bytes, or fewer where there are no more.
    pub fn head(&mut self) -> io::Result<Cursor<Vec<u8>>> {
        let mut head = Vec::new();
        self.by_ref().take(4).read_to_end(&mut head)?;
        Ok(Cursor::new(head))
    }

    /// Reads to the end; how many bytes there were, and their MD5.
    pub fn finish(mut self) -> io::Result<(u64, Option<String>)> {
        io::copy(&mut self, &mut io::sink())?;
        let md5 = self.md5.map(|md5| hex::text(&md5.finalize()));
        Ok((self.bytes, md5))
    }
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.bytes += read as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(&into[..read]);
        }
        Ok(read)
    }
}
