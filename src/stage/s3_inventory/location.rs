//! Locations of files, and readers of their bytes.

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
use crate::remote;
use crate::remote::s3::download::Download;
use crate::remote::s3::{S3, S3Args};

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileLocation {
    Stdin,
    Local(PathBuf),
    Object { bucket: String, key: String },
}

impl FileLocation {
    /// Parses an input: `-`, `s3://bucket/key`, or a path.
    ///
    /// # Errors
    /// A URL without a key (2).
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

    /// Returns the file beside it with another extension.
    pub fn with_extension(&self, extension: &str) -> Self {
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

/// Returns the access to object storage, with the defaults of the preset.
pub fn access(args: &Args) -> S3Args {
    let mut s3 = args.s3.clone();
    if let Some(Mozilla::Firefox | Mozilla::Archive) = args.mozilla {
        s3.no_sign_request = true;
        s3.region.get_or_insert_with(|| "us-east-1".to_owned());
    }
    s3
}

/// A connection to object storage, opened when it is first needed.
pub struct LazyS3 {
    args: S3Args,
    pub context: Context,
    opened: OnceCell<(Runtime, S3)>,
}

impl LazyS3 {
    pub fn new(args: &Args, io: &Io) -> Self {
        Self {
            args: access(args),
            context: io.context.clone(),
            opened: OnceCell::new(),
        }
    }

    /// Returns the connection, and opens it if need be.
    pub fn open(&self) -> Result<(&Runtime, &S3)> {
        if self.opened.get().is_none() {
            let runtime = remote::runtime("s3-inventory", Some(2))?;
            let s3 = S3::open(&self.args, &self.context);
            let s3 = runtime.block_on(s3)?;
            // Only this thread opens it.
            drop(self.opened.set((runtime, s3)));
        }
        let opened = self.opened.get().map(|(runtime, s3)| (runtime, s3));
        opened.ok_or_else(|| Error::configuration("object storage could not be opened"))
    }

    /// Returns the connection for other threads; `None` if it was not needed so far.
    pub fn fetch(&self) -> Option<(Handle, S3)> {
        let (runtime, s3) = self.opened.get()?;
        Some((runtime.handle().clone(), s3.clone()))
    }

    /// Returns the address of a server that is not AWS's, if the connection is open.
    pub fn endpoint(&self) -> Option<String> {
        self.opened.get()?.1.endpoint().map(str::to_owned)
    }

    /// Returns the content of a small file.
    ///
    /// # Errors
    /// It cannot be read (78), or the server is away (69).
    pub fn read(&self, place: &FileLocation) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match place {
            FileLocation::Object { bucket, key } => {
                let (runtime, s3) = self.open()?;
                let _notice = self
                    .context
                    .log
                    .notify_if_slow(format!("getting s3://{bucket}/{key}"));
                let mut object = Download::start(runtime.handle(), s3.clone(), (bucket, key), None);
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

    /// Returns the content of a small file, if it exists.
    pub fn read_if_there(&self, place: &FileLocation) -> Result<Option<Vec<u8>>> {
        match place {
            FileLocation::Object { bucket, key } => {
                let (runtime, s3) = self.open()?;
                runtime.block_on(s3.read_if_there(bucket, key))
            }
            FileLocation::Local(path) if !path.exists() => Ok(None),
            place => self.read(place).map(Some),
        }
    }

    /// Closes it without waiting for requests in flight.
    pub fn close(self) {
        if let Some((runtime, _)) = self.opened.into_inner() {
            runtime.shutdown_background();
        }
    }
}

/// Returns the error of a file that was named and cannot be read (78).
pub fn unreadable(path: &Path, error: &io::Error) -> Error {
    let place = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::configuration(format!("{place}: no such file or folder; check the name"))
        }
        _ => Error::configuration(format!("cannot read {place}: {error}")),
    }
}

/// Reads an object while it is downloaded.
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

/// A reader that counts bytes, and on request hashes them.
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

    /// Returns the first four bytes, or fewer if there are no more.
    pub fn head(&mut self) -> io::Result<Cursor<Vec<u8>>> {
        let mut head = Vec::new();
        self.by_ref().take(4).read_to_end(&mut head)?;
        Ok(Cursor::new(head))
    }

    /// Reads to the end; returns the number of bytes, and their MD5.
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
