//! A bucket divided into ranges of about equal size.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::crew::{Desk, may_go_on};
use super::ranges::Range;
use super::{Args, Shard};
use crate::counters::Waiting;
use crate::error::{Error, Kind, Result};
use crate::listing::{Ask, Hint, Next, Part, Survey};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;
use crate::resume::{self, ListingSource, RunState};

/// What the last finished run of this listing saw, where its file is at hand.
pub fn hints(file: Option<&Path>, source: &ListingSource) -> Result<Vec<Hint>> {
    let listed: Option<RunState> = file.map_or(Ok(None), resume::peek)?;
    let same = listed.filter(|listed| listed.source == *source);
    let last = same.and_then(|listed| listed.next_run(source.clone()).last);
    Ok(last.map_or_else(Vec::new, |last| last.sample.points().to_vec()))
}

/// Leaves one range of a plan that is made now, or was when the resume file
/// began: a run that is resumed keeps to it.
pub fn share(
    args: &Args,
    shard: Shard,
    runtime: &Runtime,
    desk: &Arc<Desk>,
    source: &mut ListingSource,
    io: &Io,
) -> Result<()> {
    source.shard = Some(shard.to_string());
    let kept: Option<RunState> = args
        .state
        .resume_file
        .as_deref()
        .map_or(Ok(None), resume::peek)?;
    if let Some(kept) = kept.filter(|kept| kept.source.shard == source.shard) {
        source.ranges = kept.source.ranges;
        return Ok(());
    }
    let parts = survey(runtime, desk, shard.of, &[], io)?;
    let mut hasher = SipHasher13::new();
    for part in &parts {
        part.interval.through.hash(&mut hasher);
    }
    io.context.log.info(format!(
        "shard {shard} of plan {:016x}, made now: all shards have to name the same plan; \
         s3-list --plan {} > FILE and --ranges FILE make sure of it",
        hasher.finish(),
        shard.of
    ));
    let mut coverage = Coverage::default();
    if let Some(part) = parts.get(usize::from(shard.number - 1)) {
        coverage.insert(part.interval.clone());
    }
    source.ranges = Some(coverage);
    Ok(())
}

/// Divides the listing into at most `parts` ranges.
pub fn survey(
    runtime: &Runtime,
    desk: &Arc<Desk>,
    parts: u16,
    hints: &[Hint],
    io: &Io,
) -> Result<Vec<Part>> {
    let page_size = usize::from(desk.page_size);
    let mut survey = Survey::new(&desk.prefix, page_size, usize::from(parts), hints);
    io.context.counters.waits(Waiting::Server);
    let mut refused = false;
    loop {
        let round = survey.round();
        if round.is_empty() {
            io.context.counters.waits(Waiting::Nothing);
            return Ok(survey.parts());
        }
        io.context.counters.note("requests", round.len() as u64);
        let mut answers = JoinSet::new();
        for (ticket, ask) in round {
            let desk = Arc::clone(desk);
            let answer = async move {
                let turn = desk.bucket.turn().await;
                let page = desk.ask(turn, &ask).await;
                (ticket, ask, page)
            };
            answers.spawn_on(answer, runtime.handle());
        }
        while let Some(answer) = runtime.block_on(answers.join_next()) {
            let (ticket, ask, page) = answer
                .map_err(|_| Error::message(Kind::Internal, "a request of the survey was lost"))?;
            let page = match (page, &ask) {
                (Err(error), Ask::Children { .. }) if may_go_on(&error) => {
                    if !std::mem::replace(&mut refused, true) {
                        io.context.log.warn(format!(
                            "{error}; folders cannot be looked into, so the parts may be few and \
                             of unequal size"
                        ));
                    }
                    survey
                        .children(ticket, &[], &Vec::<&str>::new(), Next::End)
                        .map_err(Error::configuration)?;
                    continue;
                }
                (page, _) => page?,
            };
            let told = match ask {
                Ask::Page { .. } => survey.page(ticket, &page, page.next()),
                Ask::Children { .. } => survey.children(ticket, &page.prefixes, &page, page.next()),
            };
            told.map_err(Error::configuration)?;
        }
    }
}

/// Writes the plan, a line a range.
pub fn write(desk: &Desk, parts: Vec<Part>, io: &mut Io) -> Result<()> {
    for Part { interval, keys } in parts {
        let range = Range {
            bucket: Some(desk.bucket.name.clone()),
            prefix: Some(desk.prefix.clone()),
            after: interval.after,
            through: interval.through,
            keys: Some(keys),
        };
        let mut line = serde_json::to_vec(&range)
            .map_err(|error| Error::message(Kind::Internal, format!("a range: {error}")))?;
        line.push(b'\n');
        io.context.counters.add_read(1);
        io.context.counters.add_written(1);
        io.output.write(&line)?;
    }
    io.output.flush()
}
