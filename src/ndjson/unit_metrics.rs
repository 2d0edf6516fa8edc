//! Sends what became of each unit to statsd, by the names that Buildhub2 gave its metrics. The
//! kind of a unit's mark decides which they are.

use std::time::Duration;

use jiff::Timestamp;

use super::wanted::OTHER;
use crate::metrics::Metrics;
use crate::record::mark::{Begin, End};
use crate::record::stage_counts::StageCounts;
use crate::record::unit_mark::{UnitKind, UnitMark};

/// The metrics of one program.
pub struct UnitMetrics {
    metrics: Metrics,
    run: Option<RunTime>,
}

/// How long a run has taken.
struct RunTime {
    run: String,
    started: Option<Timestamp>,
    is_listing: bool,
}

impl UnitMetrics {
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, run: None }
    }

    pub fn begin(&mut self, begin: &Begin) {
        self.run = Some(RunTime {
            run: begin.run.clone(),
            started: begin.started.parse().ok(),
            is_listing: false,
        });
    }

    /// Sends the counts of a unit, and the time since a message was received.
    pub fn unit(&mut self, mark: &UnitMark, counts: &StageCounts) {
        let (metrics, dropped) = (&self.metrics, counts.dropped.values().sum::<u64>());
        let other_keys = counts.dropped.get(OTHER).copied().unwrap_or(0);
        let matched = counts.read.saturating_sub(other_keys);
        if mark.unit_kind == UnitKind::Listed
            && let Some(run) = &mut self.run
        {
            run.is_listing = true;
        }
        match (&*counts.stage, mark.unit_kind) {
            ("bh-filter", UnitKind::Listed) => {
                metrics.incr("backfill_listed", counts.read);
                metrics.incr("backfill_matched", matched);
            }
            ("bh-filter", UnitKind::Message) => {
                metrics.incr("sqs_messages", 1);
                metrics.incr("sqs_key_matched", matched);
                metrics.incr("sqs_not_key_matched", other_keys);
            }
            ("bh-load", UnitKind::Listed) => {
                metrics.incr("backfill_inserted", counts.stored);
                metrics.incr("backfill_not_inserted", dropped);
            }
            ("bh-load", UnitKind::Message) => {
                metrics.incr("sqs_inserted", counts.stored);
                metrics.incr("sqs_not_inserted", dropped);
                if counts.stored + dropped > 0
                    && let Some(time) = mark.received.and_then(since)
                {
                    metrics.time("sqs_process_buildhub_json_key", time);
                }
            }
            ("bh-load", UnitKind::Page) => metrics.incr("kinto_inserted", counts.stored),
            ("kinto-export", UnitKind::Page) => metrics.incr("kinto_migrated", counts.out),
            _ => {}
        }
    }

    /// Sends how long a listing took until its last record was stored.
    pub fn end(&mut self, end: &End, stage: &str) {
        let run = self.run.take_if(|run| end.run.as_ref() == Some(&run.run));
        if let Some(run) = run.filter(|run| run.is_listing && stage == "bh-load")
            && let Some(time) = run.started.and_then(since)
        {
            self.metrics.time("backfill", time);
        }
    }

    /// Counts a reject by its kind.
    pub fn reject(&self, stage: &str, kind: &str) {
        self.metrics
            .incr_tagged("rejected", &[("kind", kind), ("program", stage)]);
    }
}

/// Returns the time that has passed, `None` if the clock was set back.
fn since(start: Timestamp) -> Option<Duration> {
    Timestamp::now().duration_since(start).try_into().ok()
}
