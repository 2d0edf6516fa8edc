//! The database: which builds are stored, and which of them still have to be
//! indexed.
//!
//! Buildhub's table `main_build` is used as it is. Five tables are our own:
//! `bh_object` has a row per object that was loaded, whatever the outcome,
//! `bh_reject` a row per object that was rejected, `bh_outbox` a row per build
//! that Elasticsearch has not confirmed, `bh_run` a row per run, and
//! `bh_database` the one row that tells this database from every other.

mod audit;
mod dry;
mod export;
mod indexed;
mod location;
mod plan;
pub mod postgres;
mod promotion;
mod rebuild;
mod reject;
mod run;
mod sqlite;
mod staging;

use std::sync::Arc;

pub use self::audit::{AuditStore, StoredObject};
pub use self::dry::DryRun;
pub use self::export::{ExportStore, ExportTable, ExportedRow, Selection};
pub use self::indexed::{DocumentState, IndexedRow, IndexedStore};
pub use self::location::{Connector, DEFAULT_FILE, DatabaseArgs, Location};
use self::plan::{ContentStatus, Refusal};
pub use self::promotion::{Promotion, PromotionStore, StagingContents, no_staging};
pub use self::rebuild::{ChangedRows, Horizon, Locked, LockedRows, Rebuild, RebuildStore};
pub use self::reject::{KnownReject, RejectedObject, known_bad};
pub use self::run::{NewRun, Outcome, RunEnd, RunFence, RunRecord, RunRows, StoredRun};
pub use self::staging::{IntoArgs, StagingName};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::record::coverage::Interval;

/// A build to load.
#[derive(Debug, Clone, Default)]
pub struct BuildRow {
    pub hash: String,
    /// The line that it was read from.
    pub line: String,
    /// Its document: the JSON that was hashed.
    pub build: String,
    pub key: Option<String>,
    /// Without quotes.
    pub etag: Option<String>,
    pub provenance: Provenance,
    /// The run that it came with, if any.
    pub run: Option<Arc<str>>,
}

/// How a build came here: noted in its row's metadata.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance {
    /// It was not validated.
    pub skip_validation: bool,
    /// It comes from Kinto.
    pub kinto_migration: bool,
}

/// A row of the table that has the content of a build to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    pub id: i64,
    pub key: Option<String>,
    /// With quotes, as stored.
    pub etag: Option<String>,
}

/// What loading a build did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadOutcome {
    /// It was new; the id of its row if that is queued.
    Inserted(Option<i64>),
    /// It was stored already; its row got the new ETag.
    EtagRenewed,
    /// It was stored already.
    Known,
    /// The database does not take it.
    Refused(Refusal),
}

/// The database is not the one that the run began with; what was.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} was removed or replaced while this run wrote to it, so its rows may be lost; run the \
     pipeline again to list everything"
)]
pub struct Replaced(pub String);

/// A row's build, to make its search document.
#[derive(Debug)]
pub struct StoredBuild {
    pub id: i64,
    pub build: String,
}

/// What tells a database from every other, and which index follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseIdentity {
    pub id: String,
    /// How often every row was queued. What an index confirmed before that says
    /// nothing about the index that is filled now.
    pub generation: i64,
    /// The name of the index, if one follows: then every new row is queued.
    pub index: Option<String>,
}

/// A row that Elasticsearch rejected permanently.
#[derive(Debug)]
pub struct RefusedRow {
    pub id: i64,
    pub key: Option<String>,
    /// With quotes, as stored.
    pub etag: Option<String>,
    pub reason: String,
}

/// A database of builds.
pub trait Store: Send {
    /// Returns its URL, without password.
    fn address(&self) -> &str;

    /// Returns whether a loader has created its tables.
    fn has_tables(&mut self) -> Result<bool>;

    /// Calls `each` with every key and its ETag; of one key the newest comes last.
    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()>;

    /// Calls `each` with every object that was rejected at a known ETag.
    fn for_each_reject(&mut self, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()>;

    /// Stores what a run has rejected, a row per object. A row that is there is replaced.
    fn record_rejects(&mut self, run: &str, rejects: &[RejectedObject]) -> Result<()>;

    /// Notes that a run has met these rejected objects again, by their keys.
    fn meet_rejects(&mut self, run: &str, keys: &[&str]) -> Result<()>;

    /// Removes the rejected objects between these keys that a complete run of their source
    /// has not met; returns how many.
    fn forget_rejects(&mut self, run: &str, keys: &Interval) -> Result<u64>;

    /// Returns what is stored of the contents with these hashes, one per hash.
    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>>;

    /// Stores `rows` in one transaction, and queues new ones if an index
    /// follows this database; returns one outcome per row. Where that changes
    /// something the step of `fence` rises with it.
    ///
    /// # Errors
    /// Among others [`Replaced`], and another loader that stores the same run
    /// (75).
    fn load(&mut self, rows: &[BuildRow], fence: Option<&mut RunFence>)
    -> Result<Vec<LoadOutcome>>;

    /// Records that `loader` stores the run from now on.
    fn begin_run(&mut self, run: &NewRun<'_>, loader: &str) -> Result<RunFence>;

    /// Returns what the database knows of a run, `None` if it never began here.
    fn find_run(&mut self, run: &str) -> Result<Option<StoredRun>>;

    /// Counts rows in `main_build`: those of a run, and all that are newer than it.
    fn count_rows(&mut self, run: &str) -> Result<RunRows>;

    /// Records how the run has ended, unless another loader has taken it over.
    fn end_run(&mut self, fence: &RunFence, end: &RunEnd<'_>) -> Result<()>;

    /// Returns all runs, the oldest first.
    fn runs(&mut self) -> Result<Vec<RunRecord>>;

    /// Checks that what was stored is where its address says.
    ///
    /// # Errors
    /// Among others [`Replaced`].
    fn verify(&mut self) -> Result<()>;

    /// Checks that rows can be queued for an index.
    ///
    /// # Errors
    /// The role may not create the tables that this needs (78).
    fn check_queue(&mut self) -> Result<()> {
        Ok(())
    }

    /// Returns which database this is, and which index follows it.
    fn identity(&mut self) -> Result<DatabaseIdentity>;

    /// Notes that `index` follows this database, unless another loader was
    /// faster and it is no longer as `seen`. With `requeue`, also queues every
    /// row, those that were refused too, and begins a new generation. Returns
    /// what the database says now.
    fn follow(
        &mut self,
        seen: &DatabaseIdentity,
        index: &str,
        requeue: bool,
    ) -> Result<DatabaseIdentity>;

    /// Returns whether every row is queued: then no index has to hold any.
    fn all_queued(&mut self) -> Result<bool>;

    /// Returns some rows that are not queued, so that the index has to hold
    /// them: the oldest, the newest, and some in between.
    fn indexed_sample(&mut self) -> Result<Vec<StoredBuild>>;

    /// Returns those of the rows with these ids that there are.
    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>>;

    /// Returns up to `limit` queued rows with ids above `after`, by id; fewer where their builds
    /// take more than [`QUEUED_BYTES`].
    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<StoredBuild>>;

    /// Returns the highest id of the queue, 0 if it is empty.
    fn last_queued(&mut self) -> Result<i64>;

    /// Returns how many rows wait to be indexed.
    fn waiting(&mut self) -> Result<u64>;

    /// Returns how many queued rows are not in `main_build`, and the ids of the first ten.
    fn orphans(&mut self) -> Result<(u64, Vec<i64>)>;

    /// Removes confirmed rows from the queue, and notes why others were
    /// rejected permanently; returns `false`, and does nothing, if every row
    /// was queued again since `generation`.
    fn ack(
        &mut self,
        generation: i64,
        confirmed: &[i64],
        refused: &[(i64, String)],
    ) -> Result<bool>;

    /// Returns the permanently rejected rows that were not reported yet.
    fn unreported(&mut self) -> Result<Vec<RefusedRow>>;

    /// Notes that these rows have been reported.
    fn mark_reported(&mut self, ids: &[i64]) -> Result<()>;

    /// Queues rejected rows again; returns how many.
    fn retry_refused(&mut self) -> Result<u64>;
}

/// Returns the queries that list every key with its ETag, of one key the newest
/// last; `rows` and `objects` say which tables exist. An object replaces all
/// rows of its key.
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

/// Whether every row is queued, in both dialects.
const ALL_QUEUED: &str = "SELECT NOT EXISTS (SELECT 1 FROM main_build m
    WHERE NOT EXISTS (SELECT 1 FROM bh_outbox o WHERE o.id = m.id))";

/// Queued rows that are not in `main_build`, in both dialects: how many, with each of the first
/// ten ids.
const ORPHANS: &str = "SELECT count(*) OVER (), o.id FROM bh_outbox o
    WHERE NOT EXISTS (SELECT 1 FROM main_build m WHERE m.id = o.id) ORDER BY o.id LIMIT 10";

/// Rows that are not queued, in both dialects: of the 16 oldest, the 16 newest,
/// and 16 at even distances between them. Reads no more rows than these.
const INDEXED_SAMPLE: &str = "WITH RECURSIVE n (i) AS
        (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 15),
    ends (low, high) AS (SELECT cast(min(id) AS bigint), max(id) FROM main_build),
    ids (id) AS (
        SELECT (SELECT min(id) FROM main_build WHERE id >= low + (high - low) * i / 16) FROM n, ends
        UNION SELECT id FROM (SELECT id FROM main_build ORDER BY id LIMIT 16) oldest
        UNION SELECT id FROM (SELECT id FROM main_build ORDER BY id DESC LIMIT 16) newest)
    SELECT cast(m.id AS bigint), cast(m.build AS text) FROM ids JOIN main_build m ON m.id = ids.id
    WHERE NOT EXISTS (SELECT 1 FROM bh_outbox o WHERE o.id = m.id) ORDER BY m.id";

/// Returns the answer to [`ORPHANS`].
fn orphans_of(rows: &[(i64, i64)]) -> (u64, Vec<i64>) {
    let count = rows.first().map_or(0, |(count, _)| count.unsigned_abs());
    (count, rows.iter().map(|(_, id)| *id).collect())
}

/// Returns the metadata of a row, which name the program that loaded it and the
/// run, as JSON.
fn metadata(row: &BuildRow) -> String {
    let mut text = concat!(
        r#"{"source":"buildhub-pipes","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","build":"bh-load""#
    )
    .as_bytes()
    .to_vec();
    let Provenance {
        skip_validation,
        kinto_migration,
    } = row.provenance;
    for (name, is_set) in [
        (r#","skip_validation":true"#, skip_validation),
        (r#","kinto-migration":true"#, kinto_migration),
    ] {
        text.extend_from_slice(if is_set { name.as_bytes() } else { b"" });
    }
    if let Some(run) = &row.run {
        text.extend_from_slice(br#","run":"#);
        json::write_str(run, &mut text);
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}

/// Returns why a batch is not stored: another loader has taken over its run.
fn fenced_off(run: &str, loader: Option<&str>, address: &str) -> Error {
    match loader {
        None => Error::new(Kind::EndedEarly, Replaced(address.to_owned())),
        Some(_) => Error::ended_early(format!(
            "{address}: another loader has started to store run {run}; let only one of them store \
             it, and run the pipeline again"
        )),
    }
}

/// How many bytes of builds are read from the queue at once, as the database stores them.
const QUEUED_BYTES: i64 = 1 << 20;

/// Returns an ETag with quotes, as it is stored.
fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The longest key or ETag that the columns hold, in characters.
pub const LONGEST: usize = 400;
