//! Fills a new index beside the one that is searched, and gives it the name.
//!
//! The row of `bh_reindex` says which index is filled, and by whom. Until the swap nobody searches
//! or writes the new index but this program, so a run that was killed is undone by deleting it. The
//! swap happens while no row can be written, once the new index holds every row. If it is not known
//! whether a loader could write between the swap and the end of the lock, every document is compared
//! once more.

mod fill;
mod owner;

use std::time::{Duration, Instant};

use self::fill::{Filling, taken_over};
use super::{Args, mend};
use crate::error::{Error, Result};
use crate::indexing::{follow, report_refused};
use crate::log::counted;
use crate::ndjson::Io;
use crate::remote::elastic::{HeldIndex, Index};
use crate::store::{Connector, DatabaseIdentity, Locked, LockedRows, Rebuild, RebuildStore};

/// Fewer rows than this are sent under the lock.
const FEW: usize = 500;

/// How often what loaders have stored meanwhile is sent before the lock, at most.
const ROUNDS: usize = 20;

/// How often the lock is tried, and how long between two tries: minutes in all.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(args: &Args, connector: &Connector, io: &mut Io) -> Result<()> {
    let mut store = connector.connect_rebuild()?;
    store.check_queue()?;
    let index = super::open_index(args, &mut *store, io)?;
    let own = owner::own()?;
    let left = store.rebuild()?;
    if let Some(left) = &left {
        refuse_living(left)?;
        take_over(&mut *store, left, &own)?;
        if name_of(&index)?.as_ref() == Some(&left.index) {
            return finish(args, connector, &mut *store, left, &own, io);
        }
        let log = &io.context.log;
        log.info(format!(
            "deleting {}, which an earlier run began",
            left.index
        ));
        index.beside(&left.index).remove()?;
        store.end_rebuild(&own)?;
    }
    let identity = follow_name(&index, &mut *store)?;
    let held = index.look()?;
    if let Some(held) = &held {
        follow::refuse_others(&index, held, &identity, &mut *store)?;
        if held.name() == index.name() && !args.replace {
            return Err(Error::configuration(format!(
                "{} is an index and not an alias, so it has to be deleted when another one takes \
                 its name; add --replace to do that",
                index.place()
            )));
        }
    }
    let previous = held.as_ref().filter(|held| held.name() != index.name());
    let rebuild = Rebuild {
        index: format!(
            "{}-{}",
            index.name(),
            jiff::Timestamp::now().strftime("%Y%m%d%H%M%S")
        ),
        previous: previous.map(|held| held.name().to_owned()),
        owner: own,
        is_stale: false,
    };
    if !store.begin_rebuild(&rebuild, None)? {
        return Err(in_progress(&rebuild.index));
    }
    let done = fill(
        &index,
        &mut *store,
        (&rebuild, &identity),
        held.as_ref(),
        io,
    );
    match done {
        Ok(true) => {
            say_replaced(&index, &rebuild, io);
            report_refused(&mut *store, &mut io.output)
        }
        // The swap may have come late.
        Ok(false) => finish(args, connector, &mut *store, &rebuild, &rebuild.owner, io),
        Err(error) => Err(undo(&index, &mut *store, &rebuild, error, io)),
    }
}

/// Returns the index that has the name.
fn name_of(index: &Index) -> Result<Option<String>> {
    Ok(index.look()?.map(|held| held.name().to_owned()))
}

fn in_progress(index: &str) -> Error {
    Error::ended_early(format!(
        "another bh-index is filling an index, beside {index}; wait until it has finished"
    ))
}

fn refuse_living(left: &Rebuild) -> Result<()> {
    if owner::is_alive(&left.owner, left.is_stale)? {
        return Err(Error::ended_early(format!(
            "another bh-index is filling {}; wait until it has finished (one on another host that \
             died is replaced ten minutes after its last sign of life)",
            left.index
        )));
    }
    Ok(())
}

fn take_over(store: &mut dyn RebuildStore, left: &Rebuild, own: &str) -> Result<()> {
    let mine = Rebuild {
        owner: own.to_owned(),
        ..left.clone()
    };
    if store.begin_rebuild(&mine, Some(&left.owner))? {
        return Ok(());
    }
    Err(in_progress(&left.index))
}

/// Has loaders queue for the index from now on, if none follows the database yet.
fn follow_name(index: &Index, store: &mut dyn RebuildStore) -> Result<DatabaseIdentity> {
    let identity = store.identity()?;
    follow::check_name(store, &identity, index.name(), false)?;
    if identity.index.as_deref() == Some(index.name()) {
        return Ok(identity);
    }
    store.follow(&identity, index.name(), false)
}

/// Fills the new index and swaps; returns whether no document can be missing in it.
fn fill(
    index: &Index,
    store: &mut dyn RebuildStore,
    (rebuild, identity): (&Rebuild, &DatabaseIdentity),
    held: Option<&HeldIndex>,
    io: &Io,
) -> Result<bool> {
    let context = &io.context;
    let next = index.beside(&rebuild.index);
    let mut filling = Filling::new(next.clone(), &rebuild.owner, store, context.clone())?;
    if !next.create_to_fill(identity.generation)? {
        return Err(Error::ended_early(format!(
            "{} is there already; run again",
            next.place()
        )));
    }
    filling.copy(store)?;
    for _ in 0..ROUNDS {
        if filling.catch_up(store)? < FEW {
            break;
        }
    }
    next.finish_filling(held)?;
    next.count()?;
    for attempt in 0..TRIES {
        let (mut is_sure, mut rows, mut began) = (false, 0, Instant::now());
        let locked = store.with_rows_locked(&rebuild.owner, &mut |locked| {
            began = Instant::now();
            rows = complete(&mut filling, locked, identity)?;
            is_sure = match index.swap(held, &next) {
                Ok(is_sure) => is_sure,
                // Its answer may be lost.
                Err(error) => match name_of(index)? {
                    Some(name) if name == next.name() => false,
                    _ => return Err(error),
                },
            };
            locked.conclude(&filling.refused())
        })?;
        match locked {
            Locked::Done => {
                context.counters.note("rows indexed", rows);
                context.log.info(format!(
                    "rows could not be written for {:.2} s",
                    began.elapsed().as_secs_f64()
                ));
                return Ok(is_sure);
            }
            Locked::TakenOver => return Err(taken_over()),
            Locked::Busy if attempt == 0 => context.log.info(format!(
                "waiting for transactions that write to main_build of {}",
                store.address()
            )),
            Locked::Busy => {}
        }
        context.shutdown.sleep(PAUSE)?;
        filling.catch_up(store)?;
    }
    Err(Error::ended_early(format!(
        "{}: a transaction writes to main_build and does not end; end it, and run again",
        store.address()
    )))
}

/// Sends the last rows, while no more can come; returns how many there are.
///
/// # Errors
/// The new index does not hold all of them (75).
fn complete(
    filling: &mut Filling<'_>,
    locked: &mut dyn LockedRows,
    identity: &DatabaseIdentity,
) -> Result<u64> {
    if locked.identity()? != *identity {
        return Err(Error::ended_early(
            "another program has made an index follow this database anew; run again",
        ));
    }
    let changed = locked.changed_since(filling.horizon())?;
    let rows = changed.rows;
    filling.send_changed(changed, &mut |ids| locked.builds(ids))?;
    let (documents, refused) = (filling.index.count()?, filling.refused().len() as u64);
    if documents + refused != rows {
        return Err(Error::ended_early(format!(
            "{} holds {} and has refused {refused}, but there are {}: rows were deleted meanwhile; \
             run again",
            filling.index.place(),
            counted(documents, "document"),
            counted(rows, "row"),
        )));
    }
    Ok(rows)
}

fn say_replaced(index: &Index, rebuild: &Rebuild, io: &Io) {
    let log = &io.context.log;
    log.info(format!("{} is now {}", index.place(), rebuild.index));
    if let Some(previous) = &rebuild.previous {
        let place = index.beside(previous).place();
        log.info(format!(
            "the former index {previous} is kept; to delete it: curl -X DELETE {place}"
        ));
    }
}

/// Ends a rebuild whose swap has happened, by comparing every document: a row may have been
/// stored after the lock was lost, and before the swap.
fn finish(
    args: &Args,
    connector: &Connector,
    store: &mut dyn RebuildStore,
    left: &Rebuild,
    own: &str,
    io: &mut Io,
) -> Result<()> {
    io.context.log.info(format!(
        "{} has taken the name {}: comparing every document, to finish the rebuild",
        left.index, args.elastic.index
    ));
    mend(args, connector, io)?;
    store.end_rebuild(own)?;
    let index = super::open_index(args, store, io)?;
    say_replaced(&index, left, io);
    Ok(())
}

/// Undoes a rebuild that failed before its swap, and returns the reason.
fn undo(
    index: &Index,
    store: &mut dyn RebuildStore,
    rebuild: &Rebuild,
    error: Error,
    io: &Io,
) -> Error {
    if !try_undo(index, store, rebuild).unwrap_or(false) {
        io.context.log.warn(format!(
            "the index {} is not finished; run bh-index --new-index again to finish or delete it",
            rebuild.index
        ));
    }
    error
}

/// Returns whether nothing is left to do.
fn try_undo(index: &Index, store: &mut dyn RebuildStore, rebuild: &Rebuild) -> Result<bool> {
    if !store.continue_rebuild(&rebuild.owner)? {
        return Ok(true);
    }
    if name_of(index)?.as_ref() == Some(&rebuild.index) {
        return Ok(false);
    }
    index.beside(&rebuild.index).remove()?;
    store.end_rebuild(&rebuild.owner)?;
    Ok(true)
}
