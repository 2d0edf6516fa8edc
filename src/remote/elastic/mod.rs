//! Elasticsearch and `OpenSearch`: the index that follows the database.
//!
//! Opening an [`Index`] learns what the server is. [`Index::look`],
//! [`Index::create`] and [`Index::claim`] make it that of one database. Then
//! there is one verb, [`Index::bulk`]: documents in, one [`IndexOutcome`] each
//! out. A document replaces an earlier one of its id, so that sending it twice is
//! harmless and everything may be retried.

mod batch;
mod documents;
mod failure;
mod mapping;
mod ownership;
mod reason;
mod rebuild;
mod server;
mod version;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use elasticsearch::BulkParts;
use reqwest::{Method, Url};

use self::batch::Verdict;
pub use self::documents::DocumentVersion;
pub use self::failure::MEND;
use self::failure::{blocked, unexpected};
pub use self::ownership::HeldIndex;
use self::ownership::write_alias;
use self::server::{BULK, ElasticAnswer, ElasticRequest, ElasticServer, OPEN};
use crate::address::parse_http;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::record::build::Document;
use crate::retry::{Attempts, Failure, FailureClass};

/// Where new builds are indexed.
#[derive(Debug, Clone, clap::Args)]
pub struct ElasticArgs {
    #[arg(
        long,
        help = "The Elasticsearch or OpenSearch whose index follows the database; put a URL with \
                a password in the environment",
        value_name = "URL",
        env = "ELASTICSEARCH_URL",
        hide_env_values = true,
        help_heading = "Elasticsearch"
    )]
    pub elasticsearch: Option<String>,

    /// Name of the index; it is created if it is missing
    #[arg(
        long,
        value_name = "NAME",
        default_value = "buildhub2",
        help_heading = "Elasticsearch"
    )]
    pub index: String,
}

/// A document of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchDocument {
    pub id: i64,
    pub document: Document,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOutcome {
    Indexed,
    /// The server has a newer version of it.
    Known,
    /// Rejected permanently: an invalid date, a size beyond a long.
    Refused {
        status: u16,
        reason: String,
    },
}

/// Documents that could not all be sent: `outcomes` has an entry for each, in
/// order, `None` where it is not known what became of it.
#[derive(Debug)]
pub struct BulkError {
    pub error: Error,
    pub outcomes: Vec<Option<IndexOutcome>>,
}

/// An open index. Clones share its connections. Its methods block, so they must not be
/// called from async code.
#[derive(Clone)]
pub struct Index {
    server: Arc<ElasticServer>,
    name: Arc<str>,
    /// The id of the database that it follows.
    database: Arc<str>,
    /// What its documents are written through.
    alias: Arc<str>,
    version: Arc<str>,
    /// Whether documents have a mapping type.
    typed: bool,
    /// How many documents the server has accepted.
    accepted: Arc<AtomicU64>,
}

/// The server gives up waiting for a shard before we give up waiting for the
/// server, and so can say which documents it concerns.
const BULK_QUERY: &[(&str, &str)] = &[
    (
        "filter_path",
        "error,errors,items.*._id,items.*.status,items.*.result,items.*.error",
    ),
    ("timeout", "30s"),
];

impl Index {
    /// Learns what the server of `args` is, and prepares the index for the
    /// database with the id `database`; `None` when no URL is configured.
    pub fn open(
        args: &ElasticArgs,
        tries: Option<u32>,
        database: &str,
        context: &Context,
    ) -> Result<Option<Self>> {
        let Some(url) = args.url()? else {
            return Ok(None);
        };
        let name = args.name()?;
        let server = ElasticServer::new(url, tries, context)?;
        let waiting = context
            .log
            .notify_if_slow(format!("waiting for Elasticsearch at {}", server.address()));
        let version = server.run(server.version(&mut server.attempts(OPEN)))?;
        drop(waiting);
        Ok(Some(Self {
            server: Arc::new(server),
            name: name.into(),
            database: database.into(),
            alias: write_alias(name, database).into(),
            version: version.name.into(),
            typed: version.typed,
            accepted: Arc::default(),
        }))
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where it is: the URL, without user and password.
    pub fn place(&self) -> String {
        self.server.place(&self.name)
    }

    /// Returns the path of the mapping type, where there is one.
    fn document_type(&self) -> &'static str {
        if self.typed { "/doc" } else { "" }
    }

    /// Returns the path of an API of documents, with their type after the index if they have
    /// one.
    fn typed_path(&self, path: &str) -> String {
        path.replacen("/_", &format!("{}/_", self.document_type()), 1)
    }

    /// Indexes `documents` and says, in their order, what became of each.
    ///
    /// Documents that the server cannot take now are sent again, and only these.
    ///
    /// # Errors
    /// The server stayed away or takes no documents; the error has the known outcomes.
    pub fn bulk(&self, documents: &[SearchDocument]) -> Result<Vec<IndexOutcome>, BulkError> {
        let mut settled = vec![None; documents.len()];
        let done = self.server.run(self.send_all(documents, &mut settled));
        let is_accepted =
            |outcome: &&Option<IndexOutcome>| **outcome == Some(IndexOutcome::Indexed);
        let accepted = settled.iter().filter(is_accepted).count() as u64;
        self.accepted.fetch_add(accepted, Relaxed);
        if done.is_ok() && settled.iter().all(Option::is_some) {
            return Ok(settled.into_iter().flatten().collect());
        }
        let error = done.err().unwrap_or_else(|| {
            Error::internal("documents went missing on the way to Elasticsearch")
        });
        Err(BulkError {
            error,
            outcomes: settled,
        })
    }

    async fn send_all(
        &self,
        documents: &[SearchDocument],
        settled: &mut [Option<IndexOutcome>],
    ) -> Result<()> {
        // In the path, because servers with `rest.action.multi.allow_explicit_index` off
        // reject it in the lines.
        let path = self.typed_path(&BulkParts::Index(&self.alias).url());
        let mut attempts = self.server.attempts(BULK);
        let before = self.accepted.load(Relaxed);
        let mut batches = batch::split(documents);
        while let Some(batch) = batches.pop() {
            let request = ElasticRequest {
                query: BULK_QUERY,
                body: Some(batch::body(batch.iter().map(|&at| &documents[at]))),
                ..ElasticRequest::new(Method::POST, &path)
            };
            let answer = match self.server.once(&request).await {
                Ok(answer) => answer,
                Err(failure) => {
                    batches.push(batch);
                    self.server.pause(&mut attempts, failure).await?;
                    continue;
                }
            };
            match answer.status {
                200 => {
                    let (settled, attempts) = (&mut *settled, (&mut attempts, before));
                    let unsent = self
                        .apply_answer(documents, &answer, batch, settled, attempts)
                        .await?;
                    if !unsent.is_empty() {
                        batches.push(unsent);
                    }
                }
                413 => {
                    if let [at] = *batch.as_slice() {
                        settled[at] = Some(too_large(&documents[at]));
                    } else {
                        let (first, second) = batch.split_at(batch.len() / 2);
                        batches.extend([second.to_vec(), first.to_vec()]);
                    }
                }
                _ => {
                    let error = unexpected(answer.status, &answer.text);
                    return Err(error.context(self.place()));
                }
            }
        }
        Ok(())
    }

    /// Records the outcomes of `batch`; returns, after a pause, the documents to be sent
    /// again. `before` is how many documents the server had accepted before the first attempt.
    async fn apply_answer(
        &self,
        documents: &[SearchDocument],
        answer: &ElasticAnswer,
        batch: Vec<usize>,
        settled: &mut [Option<IndexOutcome>],
        (attempts, before): (&mut Attempts, u64),
    ) -> Result<Vec<usize>> {
        let Some(verdicts) =
            batch::verdicts(&answer.text, batch.iter().map(|&at| documents[at].id))
        else {
            let reason = "unexpected response to _bulk";
            let failure = Failure::transient(FailureClass::Answered, reason);
            self.server.pause(attempts, failure).await?;
            return Ok(batch);
        };
        let (mut unsent, mut abort) = (Vec::new(), None);
        let sent = batch.len();
        for (at, verdict) in batch.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Settled(outcome) => settled[at] = Some(outcome),
                Verdict::Again(status, reason) => unsent.push((at, status, reason)),
                Verdict::Abort(status, reason) => abort = Some((status, reason)),
            }
        }
        if let Some((status, reason)) = abort {
            return Err(blocked(status, &reason).context(self.place()));
        }
        if unsent.len() < sent {
            attempts.reset();
        }
        let Some((first, status, reason)) = unsent.first() else {
            self.server.note_success();
            return Ok(Vec::new());
        };
        let is_throttled = unsent.iter().all(|(_, status, _)| *status == 429);
        let failure = Failure::Transient {
            reason: format!(
                "Elasticsearch did not accept {} of {sent} documents, the first being {}: \
                 {status} {reason}",
                unsent.len(),
                documents[*first].id,
            ),
            after: answer.retry_after,
            class: if is_throttled {
                FailureClass::Throttled
            } else {
                FailureClass::Answered
            },
        };
        let paused = self.server.pause(attempts, failure).await;
        let is_given_up = match &paused {
            Ok(()) => attempts.are_exhausted(),
            Err(error) => error.kind == Kind::Unavailable,
        };
        let others_pass = settled.contains(&Some(IndexOutcome::Indexed))
            || self.server.waits() && self.accepted.load(Relaxed) > before;
        // The server takes other documents, so these are the cause.
        if is_given_up && others_pass && unsent.iter().all(|(_, status, _)| *status == 500) {
            attempts.reset();
            for (at, status, reason) in unsent {
                settled[at] = Some(IndexOutcome::Refused { status, reason });
            }
            return Ok(Vec::new());
        }
        paused?;
        Ok(unsent.into_iter().map(|(at, ..)| at).collect())
    }
}

fn too_large(document: &SearchDocument) -> IndexOutcome {
    IndexOutcome::Refused {
        status: 413,
        reason: format!(
            "{} bytes are more than the server accepts (http.max_content_length)",
            document.document.members.len()
        ),
    }
}

impl ElasticArgs {
    /// Returns the URL of the server, `None` without one.
    fn url(&self) -> Result<Option<Url>> {
        let text = self.elasticsearch.as_deref().map(str::trim);
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        parse_http(text).map(Some).map_err(|what| {
            Error::usage(format!(
                "the URL of Elasticsearch is not valid: {what}; set --elasticsearch or \
                 ELASTICSEARCH_URL to one like http://localhost:9200"
            ))
        })
    }

    /// Returns the name of the index.
    fn name(&self) -> Result<&str> {
        let name = self.index.as_str();
        let misleads = |c: char| c.is_control() || r#"\/*?"<>| ,#:%"#.contains(c);
        if name.is_empty() || name.starts_with(['_', '-', '+', '.']) || name.contains(misleads) {
            return Err(Error::usage(format!(
                "--index: \"{}\" cannot be the name of an index",
                name.escape_default()
            )));
        }
        Ok(name)
    }
}
