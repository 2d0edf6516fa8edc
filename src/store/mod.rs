//! The database: the truth of what is stored, and what still has to be
//! indexed.
//!
//! Buildhub's table `main_build` is used as it is. Two tables of our own stand
//! beside it: `bh_object` remembers every object that was dealt with, whatever
//! it led to, and `bh_outbox` the rows that Elasticsearch has not confirmed.

mod dry;
pub mod kinto;
mod plan;
mod postgres;
mod sqlite;

use std::ops::Range;
use std::path::PathBuf;

pub use self::dry::DryRun;
use self::plan::ContentStatus;
use crate::address::without_password;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::ndjson::Io;

/// Which database is used.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// sqlite:FILE or postgres://…; without it sqlite:buildhub.db
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        help_heading = "Database"
    )]
    pub database: Option<String>,
}

const DEFAULT: &str = "sqlite:buildhub.db";

/// A build on its way into the table.
#[derive(Debug, Clone, Default)]
pub struct BuildRow {
    pub hash: String,
    /// The line that it came in.
    pub line: String,
    /// Where in the line its document stands.
    pub document: Range<usize>,
    pub key: Option<String>,
    /// Without quotes.
    pub etag: Option<String>,
    pub provenance: Provenance,
}

/// What a row's metadata say of how it came, besides the program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance {
    /// Nobody has held it against the schema.
    pub skip_validation: bool,
    /// It was Kinto's.
    pub kinto_migration: bool,
}

impl BuildRow {
    /// The document as it came, JSON.
    #[must_use]
    pub fn build(&self) -> &str {
        self.line.get(self.document.clone()).unwrap_or_default()
    }
}

/// A row of the table, as far as the next object with its content matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    pub id: i64,
    pub key: Option<String>,
    /// With its quotes, as stored.
    pub etag: Option<String>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadOutcome {
    /// New; with its id where it is queued.
    Inserted(Option<i64>),
    /// There already; the row's ETag was renewed.
    EtagRenewed,
    /// There already.
    Known,
    /// The database cannot hold it.
    Refused(String),
}

/// A row that waits to be indexed.
#[derive(Debug)]
pub struct QueuedRow {
    pub id: i64,
    pub build: String,
}

/// A row that Elasticsearch refused for good.
#[derive(Debug)]
pub struct RefusedRow {
    pub id: i64,
    pub key: Option<String>,
    /// With its quotes, as stored.
    pub etag: Option<String>,
    pub reason: String,
}

/// A database of builds.
pub trait Store: Send {
    /// Where it is, without passwords.
    fn address(&self) -> &str;

    /// Whether the tables are there that remember what was loaded.
    fn has_tables(&mut self) -> Result<bool>;

    /// Every key with its ETag; of one key the newest comes last.
    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()>;

    /// What is stored of the contents with these hashes.
    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>>;

    /// Stores `rows` in one transaction, new ones queued for Elasticsearch if
    /// `queue` is set; an outcome each.
    fn load(&mut self, rows: &[BuildRow], queue: bool) -> Result<Vec<LoadOutcome>>;

    /// Up to `limit` queued rows with ids above `after`, in order of their
    /// ids.
    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<QueuedRow>>;

    /// The highest id of the queue, 0 when it is empty.
    fn last_queued(&mut self) -> Result<i64>;

    /// Takes confirmed rows off the queue, and notes why others were refused
    /// for good.
    fn ack(&mut self, confirmed: &[i64], refused: &[(i64, String)]) -> Result<()>;

    /// What was refused for good, and not reported yet.
    fn unreported(&mut self) -> Result<Vec<RefusedRow>>;

    /// These refusals have been reported.
    fn mark_reported(&mut self, ids: &[i64]) -> Result<()>;

    /// Queues what was refused before once more.
    fn requeue(&mut self) -> Result<u64>;
}

/// The address of the database, from the flag, the environment or the default.
fn choose(args: &DatabaseArgs, log: &Log) -> Result<Address> {
    let named = args.database.as_deref().filter(|url| !url.is_empty());
    let url = named.unwrap_or_else(|| {
        log.info(format!(
            "no --database and no DATABASE_URL: using {DEFAULT}"
        ));
        DEFAULT
    });
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(Error::usage("--database sqlite: names no file"));
        }
        return Ok(Address::Sqlite(PathBuf::from(path)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Address::Postgres(url.to_owned()));
    }
    Err(Error::usage(
        "the database's URL must begin with sqlite: or postgres://",
    ))
}

enum Address {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Which database it is, before anything is opened.
pub struct Location {
    address: Address,
    context: Context,
}

impl Location {
    /// The database of the flag, the environment or the default.
    pub fn new(args: &DatabaseArgs, io: &Io) -> Result<Self> {
        Ok(Self {
            address: choose(args, &io.context.log)?,
            context: io.context.clone(),
        })
    }

    /// Its address, without passwords.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.address {
            Address::Sqlite(path) => sqlite::address(path),
            Address::Postgres(url) => without_password(url),
        }
    }

    /// The store for reading; `None` when there is no database file yet.
    pub fn open_existing(&self) -> Result<Option<Box<dyn Store>>> {
        match &self.address {
            Address::Sqlite(path) => match path.try_exists() {
                Ok(true) => Ok(Some(Box::new(sqlite::Sqlite::open(path, true)?))),
                Ok(false) => Ok(None),
                Err(error) => Err(Error::local(path.display(), &error)),
            },
            Address::Postgres(url) => {
                let store = postgres::Postgres::open(url, self.context.clone(), true)?;
                Ok(Some(Box::new(store)))
            }
        }
    }

    /// Whether a loader has made its tables there.
    pub fn has_tables(&self) -> Result<bool> {
        self.open_existing()?
            .map_or(Ok(false), |mut store| store.has_tables())
    }

    /// The store for loading; tables that are missing are created.
    pub fn connector(self) -> Result<Connector> {
        Ok(match self.address {
            Address::Sqlite(path) => Connector::Sqlite(sqlite::Sqlite::open(&path, false)?),
            Address::Postgres(url) => Connector::Postgres(url, self.context),
        })
    }
}

/// Opens the store for loading.
pub enum Connector {
    Sqlite(sqlite::Sqlite),
    Postgres(String, Context),
}

impl Connector {
    /// The store for one thread. PostgreSQL gets a connection for each; of a
    /// file, in which one writes at a time, a single one knows the pages best.
    pub fn connect(&self) -> Result<Box<dyn Store>> {
        Ok(match self {
            Self::Sqlite(store) => Box::new(store.clone()),
            Self::Postgres(url, context) => {
                Box::new(postgres::Postgres::open(url, context.clone(), false)?)
            }
        })
    }
}

/// The queries that list every key with its ETag, of one key the newest last.
/// What is remembered as an object stands for all rows of its key.
fn known_queries(rows: bool, objects: bool) -> &'static [&'static str] {
    const ROWS: &str = "SELECT s3_object_key, s3_object_etag FROM main_build
        WHERE s3_object_key IS NOT NULL AND s3_object_etag IS NOT NULL ORDER BY id";
    const OTHER_ROWS: &str = "SELECT s3_object_key, s3_object_etag FROM main_build
        WHERE s3_object_key IS NOT NULL AND s3_object_etag IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM bh_object WHERE key = s3_object_key) ORDER BY id";
    // An object whose row is gone has to be fetched again.
    const OBJECTS: &str = "SELECT key, etag FROM bh_object WHERE EXISTS
        (SELECT 1 FROM main_build WHERE main_build.build_hash = bh_object.build_hash)";
    match (rows, objects) {
        (true, true) => &[OTHER_ROWS, OBJECTS],
        (true, false) => &[ROWS],
        (false, _) => &[],
    }
}

macro_rules! metadata {
    ($more:literal) => {
        concat!(
            r#"{"source":"buildhub-pipes","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","build":"bh-load""#,
            $more,
            "}"
        )
    };
}

/// The facts about the program that loaded a row, as JSON.
fn metadata(provenance: Provenance) -> &'static str {
    match (provenance.skip_validation, provenance.kinto_migration) {
        (false, false) => metadata!(""),
        (true, false) => metadata!(r#","skip_validation":true"#),
        (false, true) => metadata!(r#","kinto-migration":true"#),
        (true, true) => metadata!(r#","skip_validation":true,"kinto-migration":true"#),
    }
}

/// An ETag with the quotes that the table holds it in.
fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The longest key and ETag, in characters, that the table's columns hold.
pub const LONGEST: usize = 400;
