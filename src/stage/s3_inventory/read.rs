//! Several files at once: each is inflated on a thread, its rows are made into
//! records on others, and comes out in order.

use std::fs::File as Disk;
use std::io::{self, BufReader, Read, Seek};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use flate2::bufread::MultiGzDecoder;
use tokio::runtime::Handle;

use super::cut::{BLOCK, Cut};
use super::find::{File, Inventory, is};
use super::parquet;
use super::proof::{Check, Proof};
use super::source::{Counted, Origin, Pieces, Place, unreadable};
use crate::error::{Error, Kind, Result};
use crate::inventory::csv::{Block, Reading, Rows};
use crate::inventory::row::Choice;
use crate::ndjson::{self, Input};
use crate::remote::download::Download;
use crate::remote::s3::S3;

/// Blocks of a file that wait for those before it.
const AHEAD: usize = 32;

/// A part of a file, in order.
pub enum Piece {
    /// Of standard input with the check of all that has come of it.
    Rows(Receiver<Rows>, Option<Check>),
    Failed(Error),
}

struct Job {
    block: Block,
    reading: Arc<Reading>,
    done: Sender<Rows>,
}

/// What the threads share.
pub struct Readers<'a> {
    inventory: &'a Inventory,
    fetch: Option<(Handle, S3)>,
    files: Receiver<(usize, Arc<Reading>, Sender<Piece>)>,
}

impl<'a> Readers<'a> {
    /// The readers, and for each file that is wanted its number and what
    /// comes of it.
    pub fn new(
        inventory: &'a Inventory,
        choice: Choice,
        origin: &Origin,
        gaps: Vec<Vec<(u64, u64)>>,
    ) -> (Self, Vec<Feed>) {
        let (queue, files) = unbounded();
        let mut feeds = Vec::new();
        for (at, (file, wanted)) in inventory.files.iter().zip(gaps).enumerate() {
            let Some((after, _)) = wanted.first().copied() else {
                continue;
            };
            let (outlet, pieces) = bounded(AHEAD);
            let reading = Reading {
                place: match file.place {
                    Place::Stdin => String::new(),
                    _ => file.name.clone(),
                },
                layout: file.layout.clone(),
                first: OnceLock::new(),
                choice,
                wanted,
            };
            drop(queue.send((at, Arc::new(reading), outlet)));
            feeds.push(Feed { at, after, pieces });
        }
        let fetch = origin.fetch();
        let readers = Self {
            inventory,
            fetch,
            files,
        };
        (readers, feeds)
    }

    /// Reads all files, so many at once, until nobody listens any more.
    pub fn run(&self, lanes: usize, stdin: (&mut Input, Proof)) {
        let stdin = Mutex::new(stdin);
        let cores = ndjson::cores();
        let (pool, jobs) = bounded::<Job>(2 * cores);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                let jobs = jobs.clone();
                scope.spawn(move || {
                    for Job {
                        block,
                        reading,
                        done,
                    } in jobs
                    {
                        // Nobody listens any more once the output has failed.
                        drop(done.send(reading.rows(&block)));
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

/// A file that is read.
pub struct Feed {
    /// Its number.
    pub at: usize,
    /// The lines up to this one are done.
    pub after: u64,
    pub pieces: Receiver<Piece>,
}

/// A thread that reads one file after the other.
struct Lane<'a> {
    readers: &'a Readers<'a>,
    pool: Sender<Job>,
}

impl Lane<'_> {
    fn run(&self, stdin: &Mutex<(&mut Input, Proof)>) {
        for (at, reading, outlet) in &self.readers.files {
            let file = &self.readers.inventory.files[at];
            let mut out = Out {
                pool: &self.pool,
                reading,
                outlet,
                line: 1,
            };
            let done = match &file.place {
                Place::Stdin => {
                    let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
                    let (input, proof) = &mut *stdin;
                    out.stream(input, proof)
                }
                Place::Local(path) => match Disk::open(path) {
                    Ok(disk) => out.local(file, disk),
                    Err(error) => Err(unreadable(path, &error)),
                },
                Place::Object { bucket, key } => match &self.readers.fetch {
                    Some((runtime, s3)) => {
                        let object = Download::start(runtime, s3.clone(), bucket, key);
                        out.object(file, Pieces::new(object))
                    }
                    None => Err(Error::message(Kind::Internal, "object storage is not open")),
                },
            };
            if let Err(error) = done
                && out.outlet.send(Piece::Failed(error)).is_err()
            {
                return;
            }
        }
    }
}

/// Where the rows of a file go.
pub struct Out<'a> {
    pool: &'a Sender<Job>,
    pub reading: Arc<Reading>,
    outlet: Sender<Piece>,
    /// The next line.
    line: u64,
}

impl Out<'_> {
    fn local(&mut self, file: &File, mut disk: Disk) -> Result<()> {
        let failed = |error: io::Error| Error::local(&file.name, &error);
        let mut counted = Counted::new(&disk, file.md5.is_some());
        let head = counted.head().map_err(failed)?;
        if head.get_ref() != b"PAR1" {
            return self.csv(file, head, counted);
        }
        if file.md5.is_some() || file.size.is_some() {
            check(file, counted)?;
        }
        disk.rewind().map_err(failed)?;
        parquet::read(&file.name, disk, self)
    }

    fn object(&mut self, file: &File, pieces: Pieces) -> Result<()> {
        let mut counted = Counted::new(pieces, file.md5.is_some());
        let mut head = counted.head().map_err(|error| fault(error, file, 0, 1))?;
        if head.get_ref() != b"PAR1" {
            return self.csv(file, head, counted);
        }
        // Parquet begins with its end: it waits in a file without a name.
        let local = |error: io::Error| Error::local("TMPDIR", &error);
        let mut disk = tempfile::tempfile().map_err(local)?;
        io::copy(&mut head, &mut disk).map_err(local)?;
        let copied = io::copy(&mut counted, &mut disk);
        copied.map_err(|error| fault(error, file, 0, 1))?;
        check(file, counted)?;
        disk.rewind().map_err(local)?;
        parquet::read(&file.name, disk, self)
    }

    fn csv<R: Read>(
        &mut self,
        file: &File,
        head: io::Cursor<Vec<u8>>,
        mut counted: Counted<R>,
    ) -> Result<()> {
        let zipped = head.get_ref().starts_with(&[0x1f, 0x8b]);
        if !zipped && is(&file.name, ".gz") {
            let name = &file.name;
            return Err(if head.get_ref().is_empty() {
                let text = format!("{name}: is empty; get the file again");
                Error::message(Kind::EndedEarly, text)
            } else {
                Error::configuration(format!("{name}: is no gzip file, though its name says so"))
            });
        }
        let whole = head.chain(counted.by_ref());
        let done = if zipped {
            let members = MultiGzDecoder::new(BufReader::with_capacity(BLOCK, whole));
            self.blocks(members)
        } else {
            self.blocks(whole)
        };
        done.map_err(|error| fault(error, file, counted.bytes, self.line))?;
        check(file, counted)
    }

    /// Rows as soon as they come.
    fn stream(&mut self, input: &mut Input, proof: &mut Proof) -> Result<()> {
        let mut rows = Cut::default();
        loop {
            let room = rows.room();
            let read = input.read(room)?;
            rows.filled += read;
            let unterminated = read == 0 && rows.end();
            let block = rows.whole(self.line, read == 0);
            let block = block.map(|block| Block {
                unterminated,
                ..block
            });
            let check = block.as_ref().map(|block| proof.read(&block.bytes));
            if !self.send(block, check.transpose()?) {
                return Ok(());
            }
            if read == 0 {
                return proof.end();
            }
            rows.check(self.line)?;
        }
    }

    fn blocks(&mut self, mut from: impl Read) -> io::Result<()> {
        let mut rows = Cut::default();
        loop {
            let mut room = rows.room();
            let mut got = 0;
            while !room.is_empty() {
                match from.read(room) {
                    Ok(0) => break,
                    Ok(read) => {
                        got += read;
                        room = &mut room[read..];
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        rows.filled += got;
                        // What came before it is as good as ever.
                        self.send(rows.whole(self.line, false), None);
                        return Err(error);
                    }
                }
            }
            rows.filled += got;
            if got == 0 {
                // A file is all there is: its last row is good, or bad.
                rows.end();
            }
            if !self.send(rows.whole(self.line, got == 0), None) || got == 0 {
                return Ok(());
            }
            rows.check(self.line).map_err(io::Error::other)?;
        }
    }

    /// Whether anybody listens still.
    fn send(&mut self, block: Option<Block>, check: Option<Check>) -> bool {
        let Some(block) = block else {
            return true;
        };
        if self.line == 1 {
            self.reading.look(&block);
        }
        let lines = memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        self.line += lines;
        let through = self.line - 1;
        if self
            .reading
            .wanted
            .iter()
            .all(|(after, to)| through <= *after || block.first_line > *to)
        {
            return true;
        }
        let (done, rows) = bounded(1);
        let reading = Arc::clone(&self.reading);
        self.outlet.send(Piece::Rows(rows, check)).is_ok()
            && self
                .pool
                .send(Job {
                    block,
                    reading,
                    done,
                })
                .is_ok()
    }

    /// Rows that are made already; whether anybody listens still.
    pub fn ready(&self, made: Rows) -> bool {
        let (done, rows) = bounded(1);
        drop(done.send(made));
        self.outlet.send(Piece::Rows(rows, None)).is_ok()
    }
}

/// Reads to the end, and compares with what the manifest says.
fn check<R: Read>(file: &File, counted: Counted<R>) -> Result<()> {
    let bytes = counted.bytes;
    let (size, md5) = counted
        .finish()
        .map_err(|error| fault(error, file, bytes, 0))?;
    let name = &file.name;
    if let Some(expected) = file.size.filter(|expected| *expected != size) {
        return Err(Error::configuration(format!(
            "{name}: has {size} bytes, and its manifest says {expected}; get both again"
        )));
    }
    match (&file.md5, md5) {
        (Some(expected), Some(md5)) if *expected != md5 => Err(Error::configuration(format!(
            "{name}: has the MD5 {md5}, and its manifest says {expected}; get both again"
        ))),
        _ => Ok(()),
    }
}

/// What went wrong after so many bytes, in this line.
fn fault(error: io::Error, file: &File, bytes: u64, line: u64) -> Error {
    let name = &file.name;
    let error = match error.downcast::<Error>() {
        Ok(own) => return own,
        Err(error) => error,
    };
    if error.raw_os_error().is_some() {
        return Error::local(name, &error);
    }
    let place = format!("{name}, line {line}, after {bytes} bytes");
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::message(
            Kind::EndedEarly,
            format!("{place}: the gzip file is cut; get it again"),
        ),
        _ => Error::configuration(format!("{place}: {error}; get the file again")),
    }
}
