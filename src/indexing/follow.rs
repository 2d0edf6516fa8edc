//! Checks that the index has the documents that the database says it has.
//!
//! To the database, rows that are not queued have been indexed, but the index may have been
//! deleted, created again, or belong to another database. So it is asked for some of these
//! rows at the start and at the end of a run. The rows are read first: a row that was not
//! queued then was in the index before.

use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::remote::elastic::{HeldIndex, Index, MEND};
use crate::store::{DatabaseIdentity, Store, StoredBuild};

/// What a database may send to its index.
pub enum Following {
    /// Documents of this generation.
    Generation(i64),
    /// Nothing: documents are lost, and new rows are only queued.
    Lost(Error),
}

/// Refuses another index than the one that follows the database, unless none
/// holds anything of it.
pub fn check_name(
    store: &mut dyn Store,
    identity: &DatabaseIdentity,
    name: &str,
    requeue: bool,
) -> Result<()> {
    match &identity.index {
        Some(other) if other != name && !requeue && !store.all_queued()? => {
            Err(Error::configuration(format!(
                "{}: this database is indexed in {other}, not in {name}; use --index {other}, or \
                 run bh-index --index {name} to send every row there",
                store.address()
            )))
        }
        _ => Ok(()),
    }
}

/// Makes the index follow the database; with `requeue`, sends it every row.
///
/// # Errors
/// The index follows another database, or holds documents of another (78).
pub fn begin(index: &Index, store: &mut dyn Store, requeue: bool, log: &Log) -> Result<Following> {
    let identity = store.identity()?;
    check_name(store, &identity, index.name(), requeue)?;
    let sample = store.indexed_sample()?;
    let has_indexed = !sample.is_empty() || !store.all_queued()?;
    let held = index.look()?;
    if let Some(held) = &held {
        refuse_others(index, held, &identity, store)?;
    }
    let missing = count_missing(index, held.as_ref(), &sample)?;
    let is_empty = held.is_none() || missing > 0 && missing == sample.len();
    let is_first = identity.index.is_none();
    // What was stored before any index followed was never indexed.
    let requeue = requeue || is_first && is_empty && has_indexed;
    if !requeue && !is_first && has_indexed && is_lost(held.as_ref(), is_empty) {
        let what = if held.is_none() {
            "gone"
        } else {
            "empty, and was recreated"
        };
        return Ok(Following::Lost(lost(
            index,
            store,
            &format!("the index is {what}"),
        )));
    }
    let mut identity = identity;
    if requeue || identity.index.as_deref() != Some(index.name()) {
        identity = store.follow(&identity, index.name(), requeue)?;
        check_name(store, &identity, index.name(), false)?;
    }
    if requeue {
        let waiting = store.waiting()?;
        log.info(format!(
            "{}: {waiting} rows are queued for {}",
            store.address(),
            index.place()
        ));
    } else if missing > 0 {
        log.warn(lost(index, store, &missing_of(missing, sample.len())));
    }
    if held.is_some() {
        warn_of_later_documents(index, store, &sample, log)?;
    }
    attach(index, held, &identity, log)?;
    Ok(Following::Generation(identity.generation))
}

/// How many documents are looked up whose rows would be the next ones.
const NEXT: i64 = 16;

/// Warns of documents that follow the newest row: they are left of rows that were there before
/// the database was set back. Nothing is lost, for whatever gets these ids is queued.
fn warn_of_later_documents(
    index: &Index,
    store: &mut dyn Store,
    sample: &[StoredBuild],
    log: &Log,
) -> Result<()> {
    let Some(newest) = sample.last() else {
        return Ok(());
    };
    let next = (1..=NEXT).filter_map(|step| newest.id.checked_add(step));
    let mut later: Vec<i64> = next.collect();
    let missing = index.missing(&later)?;
    // Only now: another loader may have stored rows, and then indexed them.
    let rows = store.builds(&later)?;
    later.retain(|id| !missing.contains(id) && rows.iter().all(|row| row.id != *id));
    if !later.is_empty() {
        log.warn(format!(
            "{}: has documents of rows that are not in {} ({}); was the database restored from a \
             backup, or were rows deleted? To remove these documents, run bh-index --delete-orphans",
            index.place(),
            store.address(),
            list(&later)
        ));
    }
    Ok(())
}

/// Warns of queued rows that are gone. They stay queued, for who deleted them may bring them
/// back.
pub fn warn_of_orphans(store: &mut dyn Store, context: &Context) -> Result<()> {
    let (count, first) = store.orphans()?;
    if count > 0 {
        context.counters.note("queued rows that are gone", count);
        let more = if count > first.len() as u64 {
            ", …"
        } else {
            ""
        };
        context.log.warn(format!(
            "{}: {count} rows of bh_outbox ({}{more}) are not in main_build and cannot be \
             indexed; if they were deleted on purpose: DELETE FROM bh_outbox WHERE id NOT IN (SELECT id \
             FROM main_build)",
            store.address(),
            list(&first)
        ));
    }
    Ok(())
}

fn list(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    ids.join(", ")
}

/// Makes an index that could not be reached follow the database. It may contain anything, so
/// every row is queued.
pub fn unseen(store: &mut dyn Store, name: &str, requeue: bool) -> Result<()> {
    let identity = store.identity()?;
    check_name(store, &identity, name, requeue)?;
    let is_first = identity.index.is_none();
    if requeue || identity.index.as_deref() != Some(name) {
        store.follow(&identity, name, requeue || is_first)?;
    }
    Ok(())
}

/// Checks that the index still follows the database, and holds its rows.
///
/// # Errors
/// It does not (78).
pub fn end(index: &Index, store: &mut dyn Store) -> Result<()> {
    let sample = store.indexed_sample()?;
    if sample.is_empty() {
        return Ok(());
    }
    let identity = store.identity()?;
    let what = match index.look()? {
        None => "the index is gone".to_owned(),
        Some(held) => match held.followed() {
            Some(followed) if followed.id == identity.id => {
                match count_missing(index, Some(&held), &sample)? {
                    0 => return Ok(()),
                    missing => missing_of(missing, sample.len()),
                }
            }
            Some(followed) => return Err(follows_another(index, &followed.id)),
            None => "the index was recreated".to_owned(),
        },
    };
    Err(lost(index, store, &what))
}

/// Makes the index follow the database, to be compared with it row by row: one that does not
/// yet is sent every row. Returns the generation of its documents.
///
/// # Errors
/// The index follows another database, or holds documents of another (78).
pub fn begin_mending(index: &Index, store: &mut dyn Store, log: &Log) -> Result<i64> {
    let identity = store.identity()?;
    let held = index.look()?;
    if identity.index.as_deref() != Some(index.name()) || !is_followed_by(held.as_ref(), &identity)
    {
        return match begin(index, store, true, log)? {
            Following::Generation(generation) => Ok(generation),
            Following::Lost(error) => Err(error),
        };
    }
    if let Some(held) = &held {
        refuse_others(index, held, &identity, store)?;
    }
    attach(index, held, &identity, log)?;
    Ok(identity.generation)
}

/// Checks that the index is the one that follows the database, to be compared with it.
///
/// # Errors
/// It is not, or it is gone or was recreated (78).
pub fn check(index: &Index, store: &mut dyn Store) -> Result<()> {
    let identity = store.identity()?;
    if identity.index.is_none() {
        return Err(Error::configuration(format!(
            "{}: no index follows this database; run bh-index without --check to send every row \
             to {}",
            store.address(),
            index.place()
        )));
    }
    check_name(store, &identity, index.name(), false)?;
    let held = index.look()?;
    if let Some(held) = &held {
        refuse_others(index, held, &identity, store)?;
    }
    if is_followed_by(held.as_ref(), &identity) {
        return Ok(());
    }
    let what = held.map_or("gone", |_| "not the one that followed the database");
    Err(lost(index, store, &format!("the index is {what}")))
}

fn is_followed_by(held: Option<&HeldIndex>, identity: &DatabaseIdentity) -> bool {
    let followed = held.and_then(HeldIndex::followed);
    followed.is_some_and(|followed| followed.id == identity.id)
}

/// Returns whether nothing may be sent until every row is queued again.
fn is_lost(held: Option<&HeldIndex>, is_empty: bool) -> bool {
    held.is_none_or(|held| is_empty && held.followed().is_none())
}

fn lost(index: &Index, store: &dyn Store, what: &str) -> Error {
    Error::configuration(format!(
        "{}: {what}, and {} holds rows that were indexed there; {MEND}",
        index.place(),
        store.address()
    ))
}

fn missing_of(missing: usize, sample: usize) -> String {
    format!("the index lacks {missing} of {sample} documents that were checked")
}

fn follows_another(index: &Index, id: &str) -> Error {
    Error::configuration(format!(
        "{}: the index follows another database ({id}); choose another --index, or delete it",
        index.place()
    ))
}

fn count_missing(index: &Index, held: Option<&HeldIndex>, sample: &[StoredBuild]) -> Result<usize> {
    let ids: Vec<i64> = sample.iter().map(|row| row.id).collect();
    held.map_or(Ok(ids.len()), |_| Ok(index.missing(&ids)?.len()))
}

/// Makes the index follow the database.
fn attach(
    index: &Index,
    held: Option<HeldIndex>,
    identity: &DatabaseIdentity,
    log: &Log,
) -> Result<()> {
    let mut held = held;
    while held.is_none() {
        if index.create(identity.generation)? {
            return Ok(());
        }
        held = index.look()?;
    }
    let Some(held) = held else { return Ok(()) };
    match held.followed() {
        Some(followed) if followed.id != identity.id => {
            return Err(follows_another(index, &followed.id));
        }
        Some(_) => {}
        None => log.info(format!(
            "{} is the index of this database from now on",
            index.place()
        )),
    }
    index.claim(&held, identity.generation)
}

/// Refuses an index that follows another database, or a later state of this
/// one, or that holds documents of another one and says nothing.
///
/// # Errors
/// It does (78).
pub fn refuse_others(
    index: &Index,
    held: &HeldIndex,
    identity: &DatabaseIdentity,
    store: &mut dyn Store,
) -> Result<()> {
    match held.followed() {
        Some(followed) if followed.id != identity.id => {
            return Err(follows_another(index, &followed.id));
        }
        Some(followed) if followed.generation > identity.generation => {
            return Err(Error::configuration(format!(
                "{}: the index follows a later state of this database, or a copy of it; choose \
                 another --index, or delete it, and {MEND}",
                index.place()
            )));
        }
        Some(_) => return Ok(()),
        None => {}
    }
    let sample = index.sample()?;
    let ids: Vec<i64> = sample.iter().map(|(id, _)| *id).collect();
    let rows = store.builds(&ids)?;
    let is_ours = |(id, document): &&(i64, Value)| {
        let row = rows.iter().find(|row| row.id == *id);
        row.is_some_and(|row| is_document_of(document, row))
    };
    let ours = sample.iter().filter(is_ours).count();
    // Buildhub2 leaves documents whose rows were rolled back.
    if 2 * ours >= sample.len() {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{}: {} of {} documents that were checked do not match the rows of {}; choose another \
         --index, or delete it",
        index.place(),
        sample.len() - ours,
        sample.len(),
        store.address()
    )))
}

/// Returns whether the parts agree that no program rewrites on the way.
fn is_document_of(document: &Value, row: &StoredBuild) -> bool {
    let Ok(build) = serde_json::from_str::<Value>(&row.build) else {
        return true;
    };
    let empty = |part: &Value| part.as_object().is_none_or(serde_json::Map::is_empty);
    ["source", "target"]
        .iter()
        .all(|part| document[part] == build[part] || empty(&document[part]) && empty(&build[part]))
}
