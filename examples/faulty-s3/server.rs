//! From a request to its answer.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER};
use hyper::http::response::Builder;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use crate::encoding::{percent_decoded, push_xml};
use crate::faults::{self, Chances, Fault, Faults, below};
use crate::listing::{self, Twist};
use crate::objects::Objects;
use crate::payload::Payload;
use crate::query::Query;
use crate::throttle::{Limits, Throttle};

/// The bucket, and the ways in which it always is wrong.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct Ways {
    /// Name of the bucket
    #[arg(long, default_value = "bench")]
    bucket: String,
    /// Wait so long before each answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// What every 503 sends as Retry-After
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u64>,
    /// Pages of at most half the keys asked for, some of a single key
    #[arg(long)]
    short_pages: bool,
    /// List from the start, whatever start-after says
    #[arg(long)]
    ignore_start_after: bool,
    /// List the whole bucket, whatever prefix says
    #[arg(long)]
    ignore_prefix: bool,
    /// Read no more keys behind a start-after in a folder than MinIO does: those of its siblings
    /// that sort before it fill the page, and are dropped
    #[arg(long)]
    siblings_fill_pages: bool,
    /// Leave out one key by the token of a page behind a start-after that is no key
    #[arg(long)]
    skip_a_key: bool,
    /// Encode keys as asked, and do not say so
    #[arg(long)]
    hide_encoding: bool,
    /// Encode keys whether that is asked or not, and do not say so
    #[arg(long)]
    always_encode: bool,
    /// 403 `AccessDenied` to a listing with a delimiter
    #[arg(long)]
    deny_delimiter: bool,
    /// The first page and its token, for ever
    #[arg(long)]
    stuck: bool,
    /// 404 `NoSuchBucket`
    #[arg(long)]
    no_such_bucket: bool,
    /// 403 `AccessDenied`
    #[arg(long)]
    deny: bool,
    /// 301 `PermanentRedirect` to this region
    #[arg(long, value_name = "REGION")]
    wrong_region: Option<String>,
    /// Listed, but gone when it is fetched; repeatable
    #[arg(long, value_name = "KEY")]
    gone: Vec<String>,
    /// Another content when it is fetched than when it was listed; repeatable
    #[arg(long, value_name = "KEY")]
    change: Vec<String>,
    /// 500 whenever it is fetched; repeatable
    #[arg(long, value_name = "KEY")]
    fail_get: Vec<String>,
}

pub struct Server {
    objects: Objects,
    ways: Ways,
    throttle: Throttle,
    faults: Faults,
}

type Answer = Response<Payload>;

impl Server {
    pub fn new(objects: Objects, ways: Ways, limits: Limits, chances: Chances) -> Self {
        Self {
            objects,
            ways,
            throttle: Throttle::new(limits),
            faults: Faults::new(chances),
        }
    }

    pub async fn answer(&self, request: &Request<Incoming>) -> Result<Answer, Infallible> {
        if let Some(answer) = self.control(request) {
            return Ok(answer);
        }
        let ticket = self.throttle.admit();
        if self.ways.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.ways.latency_ms)).await;
        }
        let uri = request.uri();
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            let answer = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
            return Ok(finished(answer.header(ALLOW, "GET, HEAD"), Bytes::new()));
        }
        let Some(key) = percent_decoded(key) else {
            return Ok(error(
                400,
                "InvalidURI",
                "Couldn't parse the specified URI.",
            ));
        };
        let kind = match (head, key.is_empty()) {
            (true, _) => "head",
            (false, true) => "list",
            (false, false) => "get",
        };
        self.faults.asked(kind);
        if kind == "get" && matches!(self.objects, Objects::Given(_)) {
            self.faults.got(&key);
        }
        if let Some(limit) = ticket.refused {
            self.faults.met(limit);
            return Ok(self.slow_down());
        }
        if let Some(refusal) = self.refusal(bucket) {
            return Ok(refusal);
        }
        let id = format!("{} {path}?{query}", request.method());
        Ok(match (kind, key.is_empty()) {
            ("head", true) => finished(Response::builder(), Bytes::new()),
            ("list", _) => self.list(&id, query).await,
            _ => self.object(&id, &key, head).await,
        })
    }

    fn control(&self, request: &Request<Incoming>) -> Option<Answer> {
        let json = Response::builder().header(CONTENT_TYPE, "application/json");
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/_counts") => {
                Some(finished(json, format!("{}\n", self.faults.counts()).into()))
            }
            (&Method::POST, "/_reset") => {
                self.faults.reset();
                Some(finished(json, "{}\n".into()))
            }
            (_, path) if !path.starts_with('/') => Some(error(
                400,
                "InvalidURI",
                "Couldn't parse the specified URI.",
            )),
            _ => None,
        }
    }

    fn refusal(&self, bucket: &str) -> Option<Answer> {
        if self.ways.deny {
            self.faults.met("deny");
            return Some(error(403, "AccessDenied", "Access Denied"));
        }
        if let Some(region) = &self.ways.wrong_region {
            self.faults.met("wrong-region");
            let message = "The bucket you are attempting to access must be addressed using the \
                           specified endpoint. Please send all future requests to this endpoint.";
            let place = format!("<Endpoint>{bucket}.s3.{region}.amazonaws.com</Endpoint>");
            let body = error_body("PermanentRedirect", message, &place);
            let answer = in_xml(301).header("x-amz-bucket-region", region);
            return Some(finished(answer, body));
        }
        if self.ways.no_such_bucket || bucket != self.ways.bucket {
            self.faults.met("no-such-bucket");
            return Some(error(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist",
            ));
        }
        None
    }

    async fn list(&self, id: &str, query: &str) -> Answer {
        let has_version_2 = url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "list-type" && value == "2");
        if !has_version_2 {
            return error(501, "NotImplemented", "Only ListObjectsV2 is imitated");
        }
        let mut query = match Query::parse(query) {
            Ok(query) => query,
            Err(message) => return error(400, "InvalidArgument", message),
        };
        query.url |= self.ways.always_encode;
        if self.ways.deny_delimiter && !query.delimiter.is_empty() {
            self.faults.met("deny-delimiter");
            return error(403, "AccessDenied", "Access Denied");
        }
        let possible = if query.after_empty() {
            faults::AFTER_AN_EMPTY_PAGE
        } else {
            faults::OF_A_LISTING
        };
        let fault = self.faults.draw(id, possible);
        if let Some(answer) = self.failed(fault).await {
            return answer;
        }
        let short = || 1 + below((query.max_keys / 2).max(1), id);
        let twist = Twist {
            empty: fault == Some(Fault::EmptyPage),
            limit: self.ways.short_pages.then(short),
            stuck: self.ways.stuck,
            ignore_start_after: self.ways.ignore_start_after,
            ignore_prefix: self.ways.ignore_prefix,
            siblings_fill_pages: self.ways.siblings_fill_pages,
            skip_a_key: self.ways.skip_a_key,
            hide_encoding: self.ways.hide_encoding || self.ways.always_encode,
        };
        let page = listing::page(&self.ways.bucket, &self.objects, &query, twist);
        sent(in_xml(200), Payload::whole(page), fault)
    }

    async fn object(&self, id: &str, key: &str, head: bool) -> Answer {
        let is_one = |keys: &[String]| keys.iter().any(|other| other == key);
        if is_one(&self.ways.fail_get) {
            self.faults.met("fail-get");
            return internal_error();
        }
        let possible = if head {
            faults::OF_A_HEAD
        } else {
            faults::OF_A_GET
        };
        let fault = self.faults.draw(id, possible);
        if let Some(answer) = self.failed(fault).await {
            return answer;
        }
        let found = if is_one(&self.ways.gone) {
            self.faults.met("gone");
            None
        } else if is_one(&self.ways.change) {
            self.faults.met("change");
            self.objects.changed(key)
        } else {
            self.objects.find(key)
        };
        let Some((entry, body)) = found else {
            return error(404, "NoSuchKey", "The specified key does not exist.");
        };
        let answer = Response::builder()
            .header(ETAG, format!("\"{}\"", entry.etag))
            .header(LAST_MODIFIED, in_header(&entry.modified))
            .header("accept-ranges", "bytes")
            .header(CONTENT_TYPE, "binary/octet-stream");
        sent(answer, Payload::whole([body]), fault)
    }

    /// The answers of the faults that leave nothing of the real one.
    async fn failed(&self, fault: Option<Fault>) -> Option<Answer> {
        match fault? {
            Fault::Hang => std::future::pending().await,
            Fault::Error500 => Some(internal_error()),
            Fault::SlowdownIn200 => Some(finished(in_xml(200), slow_body())),
            Fault::Slowdown => Some(self.slow_down()),
            Fault::Cut | Fault::EmptyPage => None,
        }
    }

    fn slow_down(&self) -> Answer {
        let answer = match self.ways.retry_after {
            Some(seconds) => in_xml(503).header(RETRY_AFTER, seconds),
            None => in_xml(503),
        };
        finished(answer, slow_body())
    }
}

fn sent(answer: Builder, body: Payload, fault: Option<Fault>) -> Answer {
    if fault == Some(Fault::Cut) {
        with_payload(answer, body.cut())
    } else {
        with_payload(answer, body)
    }
}

fn finished(answer: Builder, body: Bytes) -> Answer {
    with_payload(answer, Payload::whole([body]))
}

fn with_payload(answer: Builder, payload: Payload) -> Answer {
    answer
        .header(CONTENT_LENGTH, payload.promised())
        .header("x-amz-request-id", "FAULTY0000000000")
        .body(payload)
        .unwrap_or_else(|_| internal_error())
}

fn in_xml(status: u16) -> Builder {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/xml")
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    finished(in_xml(status), error_body(code, message, ""))
}

fn internal_error() -> Answer {
    error(
        500,
        "InternalError",
        "We encountered an internal error. Please try again.",
    )
}

fn slow_body() -> Bytes {
    error_body("SlowDown", "Please reduce your request rate.", "")
}

fn error_body(code: &str, message: &str, more: &str) -> Bytes {
    let mut body =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>");
    push_xml(&mut body, message);
    body.push_str("</Message>");
    body.push_str(more);
    body.push_str("<RequestId>FAULTY0000000000</RequestId></Error>");
    body.into()
}

/// A time as a listing writes it, as a header writes it.
fn in_header(modified: &str) -> String {
    let time: Timestamp = modified.parse().unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
