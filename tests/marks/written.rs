//! The marks of a source, written by hand.

use serde_json::{Value, json};

use crate::harness::sample;

/// The begin mark of `run`, with more members.
pub fn begin(run: &str, more: &Value) -> Value {
    let mut begin = json!({
        "run": run, "source": "s3://b/ at AWS", "part": null,
        "started": "2026-01-02T03:04:05Z", "criteria": {},
    });
    let more = more.as_object().unwrap().clone();
    begin.as_object_mut().unwrap().extend(more);
    json!({"mark": {"begin": begin}})
}

/// The mark of the keys between those of two builds, of which so many records were sent.
pub fn page(run: &str, after: Option<usize>, through: Option<usize>, sent: usize) -> Value {
    let [after, through] = [after, through].map(|bound| bound.map(sample::key));
    let listed = json!({"run": run, "after": after, "through": through});
    json!({"mark": {"listed": listed, "counts": [{"stage": "s3-list", "out": sent}]}})
}

pub fn end(run: &str, units: usize) -> Value {
    json!({"mark": {"end": {"run": run, "units": units, "as_of": "2026-01-02T03:04:05Z"}}})
}
