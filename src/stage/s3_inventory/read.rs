//! Reads several files at once. A lane (a thread) reads and inflates one file at a time;
//! other threads make records of its blocks; the writer receives them in order.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::file::InventoryFile;
use super::find::{Inventory, has_ending};
use super::gzip::{GzipMembers, MAGIC};
use super::location::{CountingReader, DownloadReader, FileLocation, LazyS3, unreadable};
use super::parquet;
use super::proof::Proof;
use super::row_buffer::{BLOCK, RowBuffer};
use super::send::{FeedItem, RowJob, RowSender};
use crate::error::{Error, Kind, Result};
use crate::inventory::csv::RowReader;
use crate::inventory::row::InventoryRowOptions;
use crate::ndjson::{self, Input};
use crate::remote::s3::S3;
use crate::remote::s3::download::Download;

/// Blocks of a file that may wait for the writer.
const AHEAD: usize = 32;

/// The files to read, which the lanes share.
pub struct Readers<'a> {
    inventory: &'a Inventory,
    fetch: Option<(Handle, S3)>,
    files: Receiver<(usize, Arc<RowReader>, Sender<FeedItem>)>,
}

impl<'a> Readers<'a> {
    /// Returns the readers, and the feed of each file that has lines to read (`gaps`).
    pub fn new(
        inventory: &'a Inventory,
        options: InventoryRowOptions,
        s3: &LazyS3,
        gaps: Vec<Vec<(u64, u64)>>,
    ) -> (Self, Vec<Feed>) {
        let (queue, files) = unbounded();
        let mut feeds = Vec::new();
        for (at, (file, wanted)) in inventory.files.iter().zip(gaps).enumerate() {
            let Some((after, _)) = wanted.first().copied() else {
                continue;
            };
            let (outlet, pieces) = bounded(AHEAD);
            let reader = RowReader {
                place: match file.place {
                    FileLocation::Stdin => String::new(),
                    _ => file.name.clone(),
                },
                layout: file.layout.clone(),
                first: OnceLock::new(),
                bucket: file.bucket.clone(),
                options,
                wanted,
            };
            drop(queue.send((at, Arc::new(reader), outlet)));
            feeds.push(Feed { at, after, pieces });
        }
        let fetch = s3.fetch();
        let readers = Self {
            inventory,
            fetch,
            files,
        };
        (readers, feeds)
    }

    /// Reads all files, `lanes` at once, until the writer stops.
    pub fn run(&self, lanes: usize, stdin: (&mut Input, Proof)) {
        let stdin = Mutex::new(stdin);
        let cores = ndjson::cores();
        let (pool, jobs) = bounded::<RowJob>(2 * cores);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                let jobs = jobs.clone();
                scope.spawn(move || {
                    for RowJob {
                        block,
                        reader,
                        done,
                    } in jobs
                    {
                        // The receiver is gone once the output has failed.
                        drop(done.send(reader.rows(&block)));
                    }
                });
            }
            for _ in 0..lanes.min(self.files.len()) {
                let lane = Lane {
                    readers: self,
                    pool: pool.clone(),
                };
                let stdin = &stdin;
                scope.spawn(move || lane.run(stdin));
            }
            drop(pool);
        });
    }
}

/// A file that is being read, as the writer sees it.
pub struct Feed {
    /// Its number.
    pub at: usize,
    /// The line after which reading starts.
    pub after: u64,
    pub pieces: Receiver<FeedItem>,
}

/// A thread that reads one file after the other.
struct Lane<'a> {
    readers: &'a Readers<'a>,
    pool: Sender<RowJob>,
}

impl Lane<'_> {
    fn run(&self, stdin: &Mutex<(&mut Input, Proof)>) {
        for (at, reader, outlet) in &self.readers.files {
            let file = &self.readers.inventory.files[at];
            let mut out = RowSender {
                pool: &self.pool,
                reader,
                outlet,
                line: 1,
            };
            let done = match &file.place {
                FileLocation::Stdin => {
                    let mut stdin = stdin.lock();
                    let (input, proof) = &mut *stdin;
                    read_stdin(&mut out, input, proof)
                }
                FileLocation::Local(path) => match File::open(path) {
                    Ok(disk) => read_local(&mut out, file, &disk).and_then(|()| file.check(&disk)),
                    Err(error) => Err(unreadable(path, &error)),
                },
                FileLocation::Object { bucket, key } => match &self.readers.fetch {
                    Some((runtime, s3)) => {
                        let (place, etag) = ((&**bucket, &**key), file.version.as_deref());
                        let object = Download::start(runtime, s3.clone(), place, etag);
                        read_object(&mut out, file, DownloadReader::new(object))
                    }
                    None => Err(Error::internal("object storage is not open")),
                },
            };
            if let Err(error) = done
                && out.outlet.send(FeedItem::Failed(error)).is_err()
            {
                return;
            }
        }
    }
}

fn read_local(out: &mut RowSender<'_>, file: &InventoryFile, mut disk: &File) -> Result<()> {
    let failed = Error::local(&file.name);
    let mut counted = CountingReader::new(disk, file.md5.is_some());
    let head = counted.head().map_err(&failed)?;
    if head.get_ref() != b"PAR1" {
        return read_csv(out, file, head, counted);
    }
    if file.md5.is_some() || file.size.is_some() {
        verify(file, counted)?;
    }
    disk.rewind().map_err(&failed)?;
    parquet::read(&file.name, disk.try_clone().map_err(failed)?, out)
}

fn read_object(
    out: &mut RowSender<'_>,
    file: &InventoryFile,
    pieces: DownloadReader,
) -> Result<()> {
    let mut counted = CountingReader::new(pieces, file.md5.is_some());
    let mut head = counted
        .head()
        .map_err(|error| file_error(error, file, 0, 1))?;
    if head.get_ref() != b"PAR1" {
        return read_csv(out, file, head, counted);
    }
    // A Parquet file is read from its end, so it is copied to a temporary file.
    let local = Error::local("TMPDIR");
    let mut disk = tempfile::tempfile().map_err(&local)?;
    io::copy(&mut head, &mut disk).map_err(&local)?;
    let copied = io::copy(&mut counted, &mut disk);
    copied.map_err(|error| file_error(error, file, 0, 1))?;
    verify(file, counted)?;
    disk.rewind().map_err(&local)?;
    parquet::read(&file.name, disk, out)
}

fn read_csv<R: Read>(
    out: &mut RowSender<'_>,
    file: &InventoryFile,
    head: io::Cursor<Vec<u8>>,
    mut counted: CountingReader<R>,
) -> Result<()> {
    let name = &file.name;
    // Even without rows these formats have a header, so the name tells the format of an empty file.
    if head.get_ref().is_empty() && has_ending(name, ".orc") {
        return Err(Error::configuration(format!(
            "{name}: ORC is not supported; use an inventory in CSV or Parquet"
        )));
    }
    let is_empty = head.get_ref().is_empty() && has_ending(name, ".parquet");
    let zipped = head.get_ref().starts_with(&MAGIC);
    if is_empty || !zipped && has_ending(name, ".gz") {
        return Err(if head.get_ref().is_empty() {
            let text = format!("{name}: is empty; download the file again");
            Error::message(Kind::EndedEarly, text)
        } else {
            Error::configuration(format!("{name}: is not a gzip file, despite its name"))
        });
    }
    let whole = head.chain(counted.by_ref());
    let done = if zipped {
        let members = GzipMembers::new(BufReader::with_capacity(BLOCK, whole));
        read_blocks(out, members)
    } else {
        read_blocks(out, whole)
    };
    done.map_err(|error| file_error(error, file, counted.bytes, out.line))?;
    verify(file, counted)
}

/// Standard input as a reader, which returns its first bytes once more.
struct InputReader<'a> {
    head: Vec<u8>,
    input: &'a mut Input,
}

impl Read for InputReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len().min(into.len());
        for (to, byte) in into.iter_mut().zip(self.head.drain(..head)) {
            *to = byte;
        }
        // More bytes are needed to recognise a format.
        let read = self.input.read(&mut into[head..]);
        Ok(head + read.map_err(io::Error::other)?)
    }
}

/// Reads standard input, which gzip may have compressed, and sends rows as soon as they arrive.
fn read_stdin(out: &mut RowSender<'_>, input: &mut Input, proof: &mut Proof) -> Result<()> {
    let mut raw = InputReader {
        head: Vec::new(),
        input,
    };
    let mut head = Vec::new();
    let failed = |error: io::Error| {
        error
            .downcast::<Error>()
            .unwrap_or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Error::ended_early("standard input: the gzip file is cut; download it again")
                }
                _ => Error::configuration(format!(
                    "standard input: {error}; download the file \
                                                   again"
                )),
            })
    };
    let mut first = raw.by_ref().take(MAGIC.len() as u64);
    first.read_to_end(&mut head).map_err(failed)?;
    let zipped = head == MAGIC;
    raw.head = head;
    let mut from: Box<dyn Read> = if zipped {
        Box::new(GzipMembers::new(BufReader::with_capacity(BLOCK, raw)))
    } else {
        Box::new(raw)
    };
    let mut rows = RowBuffer::default();
    loop {
        let spare = rows.spare();
        let read = from.read(spare).map_err(failed)?;
        rows.filled += read;
        let is_end = read == 0;
        let unterminated = is_end && rows.finish();
        let block = rows.take_block(out.line, is_end, unterminated);
        let check = block.as_ref().map(|block| proof.read(&block.bytes));
        if !out.send(block, check.transpose()?)? {
            return Ok(());
        }
        if is_end {
            return proof.end();
        }
        rows.check_length(out.line)?;
    }
}

fn read_blocks(out: &mut RowSender<'_>, mut from: impl Read) -> io::Result<()> {
    let mut rows = RowBuffer::default();
    loop {
        let mut spare = rows.spare();
        let mut got = 0;
        while !spare.is_empty() {
            match from.read(spare) {
                Ok(0) => break,
                Ok(read) => {
                    got += read;
                    spare = &mut spare[read..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    rows.filled += got;
                    // The rows before the error are good.
                    let sent = out.send(rows.take_block(out.line, false, false), None);
                    return Err(sent.map_or_else(io::Error::other, |_| error));
                }
            }
        }
        rows.filled += got;
        let is_end = got == 0;
        let unterminated = is_end && rows.finish();
        let sent = out.send(rows.take_block(out.line, is_end, unterminated), None);
        if !sent.map_err(io::Error::other)? || is_end {
            return Ok(());
        }
        rows.check_length(out.line).map_err(io::Error::other)?;
    }
}

/// Reads to the end, and compares size and MD5 with the manifest.
fn verify<R: Read>(file: &InventoryFile, counted: CountingReader<R>) -> Result<()> {
    let bytes = counted.bytes;
    let (size, md5) = counted
        .finish()
        .map_err(|error| file_error(error, file, bytes, 0))?;
    let name = &file.name;
    if let Some(expected) = file.size.filter(|expected| *expected != size) {
        return Err(Error::configuration(format!(
            "{name}: has {size} bytes, and its manifest says {expected}; download both again"
        )));
    }
    match (&file.md5, md5) {
        (Some(expected), Some(md5)) if *expected != md5 => Err(Error::configuration(format!(
            "{name}: has the MD5 {md5}, and its manifest says {expected}; download both again"
        ))),
        _ => Ok(()),
    }
}

/// Returns the error of a file, with its line and the number of bytes read so far.
fn file_error(error: io::Error, file: &InventoryFile, bytes: u64, line: u64) -> Error {
    let name = &file.name;
    let error = match error.downcast::<Error>() {
        Ok(own) => return own,
        Err(error) => error,
    };
    if error.raw_os_error().is_some() {
        return Error::local(name)(error);
    }
    let place = format!("{name}, line {line}, after {bytes} bytes");
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::message(
            Kind::EndedEarly,
            format!("{place}: the gzip file is cut; download it again"),
        ),
        _ => Error::configuration(format!("{place}: {error}; download the file again")),
    }
}
