//! The promotion of a staging: its rows, objects, rejects and runs become those of the main
//! database, in one transaction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{RunRecord, StagingName};
use crate::error::{Error, Result};

/// What a staging holds, to judge whether it may be promoted.
#[derive(Debug, Default)]
pub struct StagingContents {
    pub runs: Vec<RunRecord>,
    pub rows: u64,
    /// Rows that name none of its runs.
    pub foreign_rows: u64,
    pub objects: u64,
    /// By kind.
    pub rejects: BTreeMap<String, u64>,
    /// That of this staging, if it has been promoted.
    pub promotion: Option<Promotion>,
}

/// What a promotion changes in the main database, in rows of each table.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionCounts {
    /// Of the staging.
    pub rows: u64,
    pub inserted: u64,
    /// Contents that the main database had.
    pub known: u64,
    pub etags_renewed: u64,
    pub objects: u64,
    pub rejects: u64,
    /// Documents that wait to be indexed.
    pub queued: u64,
    pub runs: u64,
}

/// A promotion, as it is recorded in `bh_run` of the main database.
#[derive(Debug, Clone, Serialize)]
pub struct Promotion {
    pub staging: String,
    /// RFC 3339.
    pub promoted: Option<String>,
    pub note: Option<String>,
    #[serde(flatten)]
    pub counts: PromotionCounts,
}

/// The outcome of a run that is a promotion, and of the runs of a promoted staging.
pub const PROMOTED: &str = "promoted";

/// Decides whether a staging may be promoted.
pub type Judge<'a> = &'a dyn Fn(&StagingContents) -> Result<()>;

/// A main database with its stagings.
pub trait PromotionStore: Send {
    /// Returns its URL, without password.
    fn address(&self) -> &str;

    /// Returns the names of the stagings beside it, in order.
    fn stagings(&mut self) -> Result<Vec<StagingName>>;

    /// Returns what a staging holds, `None` if there is no such staging.
    fn contents(&mut self, name: StagingName) -> Result<Option<StagingContents>>;

    /// Returns the last promotion of a staging with this name, of one that was dropped too.
    fn last_promotion(&mut self, name: StagingName) -> Result<Option<Promotion>>;

    /// Counts what a promotion would change now.
    fn forecast(&mut self, name: StagingName) -> Result<PromotionCounts>;

    /// Promotes a staging in one transaction, if `judge` lets it pass; one that has been promoted
    /// is left as it is. Returns the promotion.
    fn promote(
        &mut self,
        name: StagingName,
        note: Option<&str>,
        judge: Judge<'_>,
    ) -> Result<Promotion>;

    /// Drops a staging, if `judge` lets it go. Returns `false` if more than a staging is there,
    /// so that its schema stays.
    fn drop_staging(&mut self, name: StagingName, judge: Judge<'_>) -> Result<bool>;
}

/// Returns the source of a promotion.
pub fn source_of(name: StagingName) -> String {
    format!("staging {name}")
}

/// Returns the criteria of a promotion.
pub fn criteria_of(name: StagingName, note: Option<&str>) -> Value {
    json!({"staging": name.as_str(), "note": note})
}

/// Returns the promotion that a run is, `None` if it is another run.
pub fn promotion_in(run: &RunRecord) -> Option<Promotion> {
    let criteria = run.criteria.as_ref()?;
    Some(Promotion {
        staging: criteria["staging"].as_str()?.to_owned(),
        promoted: run.finished.clone(),
        note: criteria["note"].as_str().map(str::to_owned),
        counts: serde_json::from_value(run.counts.clone()?).ok()?,
    })
}

/// Returns the error of a name without a staging.
pub fn no_staging(name: StagingName, address: &str) -> Error {
    Error::configuration(format!(
        "{address}: there is no staging {name}; bh-promote without a name lists the stagings"
    ))
}

/// Returns the error of rows that are not in the main database after they were inserted.
pub fn not_taken(rows: u64, address: &str) -> Error {
    Error::configuration(format!(
        "{address}: main_build did not take {rows} rows, so nothing was promoted: drop the \
         trigger or rule of main_build that leaves rows out"
    ))
}

/// Statements in both dialects. `STAGING.` stands for the schema of the staging.
pub mod sql {
    pub const ROWS: &str = "SELECT count(*) FROM STAGING.main_build";
    pub const OBJECTS: &str = "SELECT count(*) FROM STAGING.bh_object";
    pub const RUNS: &str = "SELECT count(*) FROM STAGING.bh_run";
    pub const REJECTS: &str = "SELECT kind, count(*) FROM STAGING.bh_reject GROUP BY kind";

    /// Rows whose content is not in the main database.
    pub const NEW: &str = "SELECT count(*) FROM STAGING.main_build AS s
        WHERE NOT EXISTS (SELECT 1 FROM main_build AS m WHERE m.build_hash = s.build_hash)";

    /// New rows, in the order in which loaders insert them. `NOW` stands for the time.
    pub const INSERT: &str = "INSERT INTO main_build
            (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
        SELECT s.build_hash, s.build, s.metadata, NOW, s.s3_object_key, s.s3_object_etag
        FROM STAGING.main_build AS s
        WHERE NOT EXISTS (SELECT 1 FROM main_build AS m WHERE m.build_hash = s.build_hash)
        ORDER BY s.build_hash
        ON CONFLICT (build_hash) DO NOTHING";

    /// What renews the ETag of a row with the same content and key: a row, and later an object.
    const RENEWED_BY_ROWS: &str = "FROM STAGING.main_build AS s
        WHERE m.build_hash = s.build_hash AND m.s3_object_key = s.s3_object_key
        AND s.s3_object_etag IS NOT NULL
        AND trim(coalesce(m.s3_object_etag, ''), '\"') <> trim(s.s3_object_etag, '\"')";
    const RENEWED_BY_OBJECTS: &str = "FROM STAGING.bh_object AS s
        WHERE m.build_hash = s.build_hash AND m.s3_object_key = s.key
        AND trim(coalesce(m.s3_object_etag, ''), '\"') <> s.etag";

    pub fn renewals() -> [String; 2] {
        let set = "UPDATE main_build AS m SET s3_object_etag =";
        [
            format!("{set} s.s3_object_etag {RENEWED_BY_ROWS}"),
            format!("{set} '\"' || s.etag || '\"' {RENEWED_BY_OBJECTS}"),
        ]
    }

    /// Counts the ETags that would be renewed.
    pub fn renewed() -> String {
        format!(
            "SELECT count(*) FROM main_build AS m WHERE EXISTS (SELECT 1 {RENEWED_BY_ROWS})
             OR EXISTS (SELECT 1 {RENEWED_BY_OBJECTS})"
        )
    }

    pub const UPSERT_OBJECTS: &str = "INSERT INTO bh_object (key, etag, build_hash)
        SELECT key, etag, build_hash FROM STAGING.bh_object WHERE true ORDER BY key
        ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, build_hash = excluded.build_hash";

    /// Those that are stored now; then what is rejected comes.
    pub const MEND_REJECTS: &str =
        "DELETE FROM bh_reject WHERE key IN (SELECT key FROM STAGING.bh_object)";
    pub const UPSERT_REJECTS: &str = "INSERT INTO bh_reject
            (key, etag, kind, stage, message, line, run, verdict)
        SELECT key, etag, kind, stage, message, line, run, verdict
        FROM STAGING.bh_reject WHERE true ORDER BY key
        ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, kind = excluded.kind,
            stage = excluded.stage, message = excluded.message, line = excluded.line,
            run = excluded.run, verdict = excluded.verdict";

    /// Their rows come after those that are there: `FIRST` stands for the last id.
    pub const INSERT_RUNS: &str = "INSERT INTO bh_run (id, source, criteria, version, started,
            as_of, finished, outcome, error, counts, first_id, step, loader)
        SELECT id, source, criteria, version, started,
            as_of, finished, outcome, error, counts, FIRST, step, loader
        FROM STAGING.bh_run WHERE true ORDER BY id
        ON CONFLICT (id) DO NOTHING";
}
