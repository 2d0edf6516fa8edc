//! Stores records in a collection, many per request.
//!
//! On PostgreSQL a batch is one transaction. A conflict (409) rolls all of it back,
//! although the responses before it report success. So a batch is only done when none of its
//! responses is a conflict; otherwise all of it is sent again, in the end with no other
//! batch in flight.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{KintoServer, Refusal};
use crate::backoff::Backoff;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::remote::http::HttpAnswer;
use crate::retry::{Announce, Attempts, Failure, FailureClass, Limit, Policy};

/// A record to store.
pub struct Put {
    /// The path of the record on the server.
    pub path: String,
    pub line: Vec<u8>,
    /// The positions of the record in the line, in bytes.
    pub data: Range<usize>,
    pub permissions: Option<Range<usize>>,
    /// Replaces only the version with this timestamp.
    pub if_match: Option<u64>,
}

/// What Kinto itself sets in a record.
const SET_BY_KINTO: [&str; 3] = ["id", "last_modified", "schema"];

impl Put {
    /// Returns whether the existing record has the same content, apart from what Kinto sets.
    fn matches(&self, existing: Option<&Value>) -> bool {
        let Ok(Value::Object(mut mine)) = serde_json::from_slice(&self.line[self.data.clone()])
        else {
            return false;
        };
        let Some(Value::Object(mut theirs)) = existing.cloned() else {
            return false;
        };
        for name in SET_BY_KINTO {
            mine.remove(name);
            theirs.remove(name);
        }
        mine == theirs
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    Created,
    Updated,
    /// It existed, and existing records are not to be changed.
    Existing,
    Refused(String),
}

/// Sends batches to a server.
pub struct Batches {
    server: Arc<KintoServer>,
    if_not_exists: bool,
    /// The maximum number of records per request.
    pub size: usize,
    /// Shared by the batches in flight, or held exclusively by one.
    turn: RwLock<()>,
    /// Whether the user was let write any record.
    may_write: AtomicBool,
}

#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(borrow)]
    responses: Vec<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    status: u16,
    /// Decoded, without the path of the server's root.
    path: String,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// After this many conflicts a batch is sent with no other in flight.
const SHARED: u32 = 2;

/// For a batch that the server has rolled back.
const ROLLED_BACK: Policy = Policy {
    limit: Limit::Tries(12),
    backoff: Backoff::new(Duration::from_millis(40), Duration::from_secs(1)),
    announce: Announce::Never,
    counted_as: "batches again",
    waits_for: &[],
};

/// A batch that is halved.
#[derive(Default)]
struct Halving {
    is_stored: bool,
    /// How many records made the server fail.
    failed: usize,
}

/// After so many records that made the server fail, and none that it stored, it is the server's
/// own fault.
const FAILURES: usize = 3;

/// The limit of a batch if the server has none.
const LARGEST: usize = 1000;

impl Batches {
    /// Asks the server for its limits.
    ///
    /// # Errors
    /// It is not Kinto, or it is read-only (78).
    pub fn open(server: &Arc<KintoServer>, if_not_exists: bool) -> Result<Self> {
        let answer = server.ask(&Method::GET, "/", |request| request)?;
        let place = server.address();
        if answer.status() != 200 {
            return Err(server.refused(&answer, place));
        }
        let root: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let settings = root.get("settings").ok_or_else(|| {
            Error::configuration(format!(
                "{place}: not a Kinto server; the URL must end with the version, as in /v1"
            ))
        })?;
        if settings["readonly"] == true {
            return Err(Error::configuration(format!(
                "{place}: the server is read-only"
            )));
        }
        let most = settings["batch_max_requests"].as_u64();
        let most = most
            .and_then(|most| most.try_into().ok())
            .filter(|most| *most > 0);
        Ok(Self {
            server: Arc::clone(server),
            if_not_exists,
            size: most.map_or(LARGEST, |most: usize| most.min(LARGEST)),
            turn: RwLock::new(()),
            may_write: AtomicBool::new(false),
        })
    }

    /// Stores `puts`; returns an outcome for each, in order.
    ///
    /// # Errors
    /// The server stayed away (69), does not let us write (77), or is not a Kinto that takes
    /// these batches (78).
    pub fn store(&self, puts: &[Put]) -> Result<Vec<PutOutcome>> {
        let retry = &self.server.retry;
        let mut attempts = Attempts::new(retry.policy);
        loop {
            match self.store_part(puts, &mut Halving::default()) {
                Err(error) if error.kind == Kind::Unavailable && retry.waits() => {
                    let failure = Failure::transient(FailureClass::Silent, error.to_string());
                    let waited = retry.step(&mut attempts, self.server.address(), failure);
                    let wait = waited.map_err(|failure| failure.into_error("batch"))?;
                    retry.context.shutdown.sleep(wait)?;
                }
                done => return done,
            }
        }
    }

    fn store_part(&self, puts: &[Put], halving: &mut Halving) -> Result<Vec<PutOutcome>> {
        let mut attempts = Attempts::new(ROLLED_BACK);
        let batch_url = format!("{}/batch", self.server.address());
        // The statuses of earlier tries, which may have been rolled back.
        let mut earlier = vec![0; puts.len()];
        loop {
            let answer = if attempts.failed() < SHARED {
                let _turn = self.turn.read();
                self.send(puts)
            } else {
                let _turn = self.turn.write();
                self.send(puts)
            };
            let answer = match answer {
                Err(error) if error.kind == Kind::Unavailable && self.server.is_there() => {
                    return self.find_cause(puts, error, halving);
                }
                answer => answer?,
            };
            if let status @ (400 | 413) = answer.status() {
                let said = Refusal::parse(&answer.body).text();
                return self.split(puts, &format!("{status} {said}"), halving);
            }
            if answer.status() != 200 {
                return Err(self.server.refused(&answer, &batch_url));
            }
            let responses = self.read(&answer.body, puts)?;
            let taken_back = responses
                .iter()
                .find(|response| response.status == 409 || response.status >= 500);
            let Some(taken_back) = taken_back else {
                halving.is_stored = true;
                let is_let = |response: &Response<'_>| matches!(response.status, 200 | 201);
                if responses.iter().any(is_let) {
                    self.may_write.store(true, Relaxed);
                }
                let all = puts.iter().zip(&responses).zip(earlier);
                return all
                    .map(|((put, response), earlier)| self.outcome(put, response, earlier))
                    .collect();
            };
            for (earlier, response) in earlier.iter_mut().zip(&responses) {
                if matches!((*earlier, response.status), (0, 200 | 201) | (200, 201)) {
                    *earlier = response.status;
                }
            }
            let path = puts.first().map_or("", |put| &put.path);
            let reason = format!("{} for {path}", taken_back.status);
            let failure = Failure::transient(FailureClass::Answered, reason);
            match self.server.retry.step(&mut attempts, &batch_url, failure) {
                Ok(wait) => self.server.retry.context.shutdown.sleep(wait)?,
                Err(_) if puts.len() > 1 => return self.split(puts, "", halving),
                Err(failure) if taken_back.status >= 500 => {
                    return self.find_cause(puts, failure.into_error(&batch_url), halving);
                }
                Err(failure) => return Err(failure.into_error(&batch_url)),
            }
        }
    }

    /// Stores the two halves of a batch that the server does not take, to find the record
    /// that it rejects.
    fn split(&self, puts: &[Put], reason: &str, halving: &mut Halving) -> Result<Vec<PutOutcome>> {
        if puts.len() > 1 {
            let (first, second) = puts.split_at(puts.len() / 2);
            let mut outcomes = self.store_part(first, halving)?;
            outcomes.extend(self.store_part(second, halving)?);
            return Ok(outcomes);
        }
        Ok(vec![PutOutcome::Refused(reason.to_owned())])
    }

    /// Finds the record that makes a server fail which is there and takes others.
    ///
    /// # Errors
    /// It has failed for several records, and stored none.
    fn find_cause(
        &self,
        puts: &[Put],
        error: Error,
        halving: &mut Halving,
    ) -> Result<Vec<PutOutcome>> {
        halving.failed += usize::from(puts.len() == 1);
        if halving.failed >= FAILURES && !halving.is_stored {
            return Err(error);
        }
        self.split(puts, &error.to_string(), halving)
    }

    fn outcome(&self, put: &Put, response: &Response<'_>, earlier: u16) -> Result<PutOutcome> {
        let status = response.status;
        // An earlier try of this batch stored it, unless another writer did.
        let stayed = earlier > 0 && status == 412 && put.matches(refusal(response).existing());
        Ok(match status {
            201 => PutOutcome::Created,
            200 if earlier == 201 => PutOutcome::Created,
            200 => PutOutcome::Updated,
            412 if stayed && earlier == 201 => PutOutcome::Created,
            412 if stayed => PutOutcome::Updated,
            412 if self.if_not_exists => PutOutcome::Existing,
            // One of its own permissions.
            403 if self.may_write.load(Relaxed) => {
                let (user, said) = (self.server.user(), refusal(response).text());
                PutOutcome::Refused(format!("403 {said} ({user} may not write this record)"))
            }
            401 | 403 => {
                let said = refusal(response).text();
                return Err(Error::message(
                    Kind::Refused,
                    format!(
                        "{}/batch: {} may not write here (HTTP {status} {said}); check KINTO_AUTH, and \
                         the permissions of the collection",
                        self.server.address(),
                        self.server.user()
                    ),
                ));
            }
            404 => {
                let said = refusal(response).text();
                return Err(Error::configuration(format!(
                    "{}/batch: the bucket or the collection does not exist (HTTP 404 {said}); \
                     create them with kinto-load --initialize",
                    self.server.address()
                )));
            }
            _ => PutOutcome::Refused(format!("{status} {}", refusal(response).text())),
        })
    }

    fn send(&self, puts: &[Put]) -> Result<HttpAnswer> {
        let body = self.body(puts);
        // A record of the batch may be what makes the server fail.
        let retry = self.server.retry.limited();
        let post = (&Method::POST, "/batch");
        self.server.ask_by(&retry, post, |request| {
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone())
        })
    }

    fn body(&self, puts: &[Put]) -> bytes::Bytes {
        let lines: usize = puts.iter().map(|put| put.line.len() + 200).sum();
        let mut out = Vec::with_capacity(lines);
        out.extend_from_slice(b"{\"defaults\":{\"method\":\"PUT\"");
        if self.if_not_exists {
            out.extend_from_slice(b",\"headers\":{\"If-None-Match\":\"*\"}");
        }
        out.extend_from_slice(b"},\"requests\":[");
        for (at, put) in puts.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"path\":");
            json::write_str(&put.path, &mut out);
            if let Some(time) = put.if_match.filter(|_| !self.if_not_exists) {
                let header = format!(",\"headers\":{{\"If-Match\":\"\\\"{time}\\\"\"}}");
                out.extend_from_slice(header.as_bytes());
            }
            out.extend_from_slice(b",\"body\":{\"data\":");
            out.extend_from_slice(&put.line[put.data.clone()]);
            if let Some(permissions) = &put.permissions {
                out.extend_from_slice(b",\"permissions\":");
                out.extend_from_slice(&put.line[permissions.clone()]);
            }
            out.extend_from_slice(b"}}");
        }
        out.extend_from_slice(b"]}");
        out.into()
    }

    /// Reads an answer: a response to each of `puts`, in order.
    ///
    /// # Errors
    /// It is none (69), or the responses are to other records, or in another order (78).
    fn read<'a>(&self, body: &'a [u8], puts: &[Put]) -> Result<Vec<Response<'a>>> {
        let place = format!("{}/batch", self.server.address());
        let read = serde_json::from_slice::<Responses<'a>>(body).ok();
        let read = read.filter(|read| read.responses.len() == puts.len());
        let responses = read.map(|read| read.responses).ok_or_else(|| {
            let expected = puts.len();
            Error::unavailable(format!(
                "{place}: unexpected response to a batch of {expected}; run again"
            ))
        })?;
        let is_other = |(put, response): &(&Put, &Response<'_>)| {
            let path = percent_decode_str(&put.path).decode_utf8_lossy();
            !response.path.ends_with(&*path)
        };
        match puts.iter().zip(&responses).find(is_other) {
            None => Ok(responses),
            Some((put, response)) => Err(Error::configuration(format!(
                "{place}: got the response for {} instead of the one for {}; check the server, \
                 and any proxy in front of it",
                response.path, put.path
            ))),
        }
    }
}

fn refusal(response: &Response<'_>) -> Refusal {
    let body = response.body.map_or("", RawValue::get);
    Refusal::parse(body.as_bytes())
}
