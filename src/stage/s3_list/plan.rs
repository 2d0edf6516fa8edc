//! Divides a bucket into ranges of about equal size.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::ranges::RangeLine;
use super::worker_pool::{BucketClient, Response};
use super::{Args, Shard};
use crate::counters::Waiting;
use crate::error::{Error, Result};
use crate::listing::{Continuation, HistogramBound, PlannedRange, Request, Survey};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;
use crate::resume::{self, ListingSource, RunState};

/// Returns what the last finished run of this listing saw, if the resume file has it.
pub fn histogram(file: Option<&Path>, source: &ListingSource) -> Result<Vec<HistogramBound>> {
    let listed: Option<RunState> = file.map_or(Ok(None), resume::peek)?;
    let same = listed.filter(|listed| listed.source == *source);
    let last = same.and_then(|listed| listed.next_run(source.clone()).last);
    Ok(last.map_or_else(Vec::new, |last| last.sample.points().to_vec()))
}

/// Restricts the listing to one range of a plan: the one in the resume file if that
/// run is resumed, otherwise of a plan made now.
pub fn select_shard(
    args: &Args,
    shard: Shard,
    runtime: &Runtime,
    client: &Arc<BucketClient>,
    source: &mut ListingSource,
    io: &Io,
) -> Result<()> {
    source.shard = Some(shard.to_string());
    let saved: Option<RunState> = args
        .state
        .resume_file
        .as_deref()
        .map_or(Ok(None), resume::peek)?;
    if let Some(saved) = saved.filter(|saved| saved.source.shard == source.shard) {
        source.ranges = saved.source.ranges;
        return Ok(());
    }
    let parts = survey(runtime, client, shard.of, &[], io)?;
    let mut hasher = SipHasher13::new();
    for part in &parts {
        part.interval.through.hash(&mut hasher);
    }
    io.context.log.info(format!(
        "shard {shard} of plan {:016x}, made just now; all shards must use the same plan: to be \
         sure, use s3-list --plan {} > FILE once, and --ranges FILE for each shard",
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
    client: &Arc<BucketClient>,
    parts: u16,
    histogram: &[HistogramBound],
    io: &Io,
) -> Result<Vec<PlannedRange>> {
    let page_size = usize::from(client.page_size);
    let mut survey = Survey::new(&client.prefix, page_size, usize::from(parts), histogram);
    io.context.counters.waits(Waiting::Server);
    let mut rejection_logged = false;
    loop {
        let round = survey.round();
        if round.is_empty() {
            io.context.counters.waits(Waiting::Nothing);
            return Ok(survey.parts());
        }
        io.context.counters.note("requests", round.len() as u64);
        let mut responses = JoinSet::new();
        for (id, request) in round {
            let client = Arc::clone(client);
            let response = async move {
                let permit = client.bucket.permit().await;
                let response = client.list(permit, &request).await;
                (id, request, response)
            };
            responses.spawn_on(response, runtime.handle());
        }
        while let Some(response) = runtime.block_on(responses.join_next()) {
            let (id, request, response) =
                response.map_err(|_| Error::internal("a request of the survey was lost"))?;
            let accepted = match (response?, request) {
                (Response::Rejected(error), _) => {
                    if !std::mem::replace(&mut rejection_logged, true) {
                        let why = client.without_delimiter(&error);
                        let log = &io.context.log;
                        log.warn(format!("{why}, so the ranges may be few and uneven"));
                    }
                    survey.children(id, &[], &Vec::<&str>::new(), Continuation::End)
                }
                (Response::Page(page), Request::Page { .. }) => survey.page(id, &page, page.next()),
                (Response::Page(page), Request::Children { .. }) => {
                    survey.children(id, &page.prefixes, &page, page.next())
                }
            };
            accepted.map_err(Error::configuration)?;
        }
    }
}

/// Writes the plan, one line per range.
pub fn write(client: &BucketClient, parts: Vec<PlannedRange>, io: &mut Io) -> Result<()> {
    for PlannedRange { interval, keys } in parts {
        let range = RangeLine {
            bucket: Some(client.bucket.name.clone()),
            prefix: Some(client.prefix.clone()),
            after: interval.after,
            through: interval.through,
            keys: Some(keys),
        };
        let mut line = serde_json::to_vec(&range)
            .map_err(|error| Error::internal(format!("a range: {error}")))?;
        line.push(b'\n');
        io.context.counters.add_read(1);
        io.context.counters.add_written(1);
        io.output.write(&line)?;
    }
    io.output.flush()
}
