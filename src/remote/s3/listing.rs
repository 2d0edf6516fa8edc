//! The pages of a bucket's listing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use aws_sdk_s3::types::EncodingType;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::body::PacedBody;
use super::failure::{classify, classify_document};
use super::raw_body::RawBodyInterceptor;
use super::{S3, fits_address};
use crate::error::{Error, Kind, Result};
use crate::limits::EXPLANATION;
use crate::listing::{Continuation, Encoding, Oddity, Page, PageError, PageParser, ResponseKeys};
use crate::record::line::RecordPrefix;
use crate::record::s3::decode_key;
use crate::remote::concurrency::{ConcurrencyLimit, Permit};
use crate::retry::{Failure, FailureClass};

/// Which page of a bucket's listing.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    pub prefix: &'a str,
    /// Groups keys that contain it after the prefix into common prefixes.
    pub delimiter: Option<&'a str>,
    pub start_after: Option<&'a str>,
    /// If set, `start_after` is ignored.
    pub token: Option<&'a str>,
    /// The maximum number of keys; the server may return fewer.
    pub size: u16,
}

/// Warnings about values that could not be read.
const REPORTED: usize = 1000;

/// Bytes to allocate for a page at most; a larger one grows as it arrives.
const USUAL_PAGE: usize = 1 << 19;

/// A bucket whose keys are listed.
pub struct Bucket {
    pub name: String,
    prefix: RecordPrefix,
    limit: ConcurrencyLimit,
    /// The server was asked to encode keys and did not say that it does, so it is not asked
    /// any more: some encode nevertheless (old Ceph), and do not encode what is not asked.
    plain: AtomicBool,
    /// Set when a key that looks encoded was checked, and the server does not encode keys.
    /// Until then each page with such a key waits: the first page may be that of a probe, whose
    /// error does not end the run.
    checked: OnceCell<()>,
    /// What was reported as unreadable.
    reported: Mutex<HashSet<String>>,
    /// Keys that could not be read.
    unreadable: AtomicU64,
}

impl Bucket {
    pub fn new(name: &str, limit: ConcurrencyLimit) -> Self {
        Self {
            name: name.to_owned(),
            prefix: RecordPrefix::new(name),
            limit,
            plain: AtomicBool::new(false),
            checked: OnceCell::new(),
            reported: Mutex::default(),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Returns how many keys could not be read, and so are in no page. Beyond a thousand, one
    /// that is listed twice counts twice.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Relaxed)
    }

    /// Waits for a permit to send a request.
    pub async fn permit(&self) -> Permit<'_> {
        self.limit.acquire().await
    }

    /// Returns the encoding of keys to ask for.
    fn encoding(&self) -> Encoding {
        if self.plain.load(Relaxed) {
            Encoding::Plain
        } else {
            Encoding::Url
        }
    }

    /// Returns the first key that may be encoded although the server was not asked to
    /// encode; `None` once one was checked.
    fn doubted_key(&self, page: &Page) -> Option<String> {
        if self.encoding() == Encoding::Url || self.checked.initialized() {
            return None;
        }
        let mut keys = (0..page.len()).map(|at| page.key(at));
        let key = keys.find(|key| key.contains(['%', '+']))?;
        Some(key.into_owned())
    }

    async fn read(&self, mut body: PacedBody, encoding: Encoding) -> Result<Page, Failure> {
        let transient = |reason: String| Failure::transient(FailureClass::Answered, reason);
        let expected = usize::try_from(body.expected()).unwrap_or_default();
        let mut parser = PageParser::new(&self.prefix, encoding, expected.min(USUAL_PAGE));
        let page = loop {
            let Some(piece) = body.next().await? else {
                break parser.finish();
            };
            match parser.feed(&piece) {
                Ok(()) => {}
                // S3 may send an error with the status of success.
                Err(PageError::NotAListing) => {
                    let mut document = piece.to_vec();
                    while document.len() < EXPLANATION
                        && let Some(piece) = body.next().await?
                    {
                        document.extend_from_slice(&piece);
                    }
                    return Err(classify_document(&document));
                }
                Err(error) => break Err(error),
            }
        };
        page.map_err(|error| match error {
            PageError::Incomplete | PageError::NotAListing => {
                transient("the page was cut".to_owned())
            }
            PageError::Count(said, came) => transient(format!(
                "the page contradicts itself: its KeyCount is {said}, and the number of its keys \
                 and prefixes {came}"
            )),
            PageError::Encoding(Encoding::Plain) => {
                self.plain.store(true, Relaxed);
                transient("the server does not say how it encodes keys".to_owned())
            }
            PageError::Encoding(Encoding::Url) => Failure::permanent(
                Kind::Configuration,
                "the server encodes keys in some pages, and does not say so in others",
            ),
            PageError::Invalid(what) => Failure::Permanent(Error::configuration(what)),
        })
    }
}

impl S3 {
    /// Returns one complete page of a listing. `permit` is for the first try; each retry
    /// waits for another.
    ///
    /// # Errors
    /// A permanent failure, too many transient ones (69), or a signal.
    pub async fn page(
        &self,
        bucket: &Bucket,
        permit: Permit<'_>,
        request: ListQuery<'_>,
    ) -> Result<Page> {
        let what = format!("cannot list {}", self.place(&bucket.name, request.prefix));
        let mut first = Some(permit);
        let attempt = || {
            let permit = first.take();
            async move {
                let permit = match permit {
                    Some(permit) => permit,
                    None => bucket.permit().await,
                };
                permit.wait_for_rate().await;
                let answer = self.try_page(bucket, request).await;
                permit.on_response(&answer);
                answer
            }
        };
        let page = self.retry.run(&what, attempt).await?;
        if let Some(key) = bucket.doubted_key(&page) {
            let check = || self.check_encoding(bucket, &key);
            bucket.checked.get_or_try_init(check).await?;
        }
        Ok(page)
    }

    /// Checks that a key that looks encoded is listed by that name, not by the decoded one.
    async fn check_encoding(&self, bucket: &Bucket, key: &str) -> Result<()> {
        let decoded = String::from_utf8_lossy(&decode_key(key.as_bytes())).into_owned();
        for prefix in [key, &decoded] {
            let query = ListQuery {
                prefix,
                delimiter: None,
                start_after: None,
                token: None,
                size: 1,
            };
            let place = self.place(&bucket.name, prefix);
            let attempt = || self.try_page(bucket, query);
            match self
                .retry
                .run(&format!("cannot list {place}"), attempt)
                .await
            {
                Ok(page) if page.is_empty() => {}
                Ok(_) if prefix == key => break,
                Err(error) if error.kind != Kind::Configuration => return Err(error),
                _ => {
                    return Err(Error::configuration(format!(
                        "cannot list {place}: got the key {key:?}: the server encodes keys and does not \
                         say so, although it was not asked to; look at the server"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Lists the keys and common prefixes directly below `prefix`, page by page.
    ///
    /// # Errors
    /// As for [`Self::page`], and a truncated page without a continuation token (78).
    pub async fn list_children(
        &self,
        bucket: &Bucket,
        prefix: &str,
        mut each: impl FnMut(Page),
    ) -> Result<()> {
        let mut token = None;
        loop {
            let request = ListQuery {
                prefix,
                delimiter: Some("/"),
                start_after: None,
                token: token.as_deref(),
                size: 1000,
            };
            let page = self.page(bucket, bucket.permit().await, request).await?;
            let next = page.next();
            each(page);
            match next {
                Continuation::End => return Ok(()),
                Continuation::More(Some(next)) if token.as_ref() != Some(&next) => {
                    token = Some(next);
                }
                Continuation::More(_) => {
                    return Err(Error::configuration(format!(
                        "cannot list {}: the page is not the last one, and has no token for the \
                         next; look at the server",
                        self.place(&bucket.name, prefix)
                    )));
                }
            }
        }
    }

    /// Warns once of each kind of value that could not be read, and of every key.
    fn report(&self, bucket: &Bucket, page: &Page, prefix: &str) {
        for oddity in &page.oddities {
            let (id, text) = match oddity {
                Oddity::Key(key) => {
                    let text = format!("the key {key:?} cannot be read; the object is left out");
                    (format!("key {key}"), text)
                }
                Oddity::Member(name, value) => {
                    let text = format!("{name} {value:?} cannot be read; such records lack it");
                    ((*name).to_owned(), text)
                }
            };
            let mut reported = bucket.reported.lock();
            if reported.contains(&id) {
                continue;
            }
            if let Oddity::Key(_) = oddity {
                bucket.unreadable.fetch_add(1, Relaxed);
            }
            if reported.len() < REPORTED {
                reported.insert(id);
                let place = self.place(&bucket.name, prefix);
                self.retry
                    .context
                    .log
                    .warn(format!("listing {place}: {text}"));
            }
        }
    }

    pub(super) async fn try_page(
        &self,
        bucket: &Bucket,
        request: ListQuery<'_>,
    ) -> Result<Page, Failure> {
        let start_after = request.start_after.filter(|_| request.token.is_none());
        let raw = RawBodyInterceptor::default();
        let encoding = bucket.encoding();
        let encodes = encoding == Encoding::Url;
        let texts = [
            Some(request.prefix),
            request.delimiter,
            start_after,
            request.token,
        ];
        fits_address(&texts)?;
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&bucket.name)
            .set_prefix((!request.prefix.is_empty()).then(|| request.prefix.to_owned()))
            .set_delimiter(request.delimiter.map(str::to_owned))
            .set_start_after(start_after.map(str::to_owned))
            .set_continuation_token(request.token.map(str::to_owned))
            .max_keys(i32::from(request.size))
            .set_encoding_type(encodes.then_some(EncodingType::Url))
            .set_request_payer(self.payer.clone())
            .customize()
            .interceptor(raw.clone())
            .send();
        let place = self.place(&bucket.name, request.prefix);
        let answer = self.retry.watch(&place, answer).await;
        answer.map_err(|error| classify(&error, self.is_anonymous))?;
        let body = self.paced(raw.body().unwrap_or_default(), place);
        let page = bucket.read(body, encoding).await?;
        self.report(bucket, &page, request.prefix);
        match page.foreign(request.prefix) {
            None => Ok(page),
            Some(foreign) => Err(Failure::Permanent(Error::configuration(format!(
                "asked for keys that begin with {:?}, got {foreign:?}: the server ignores the \
                 prefix; look at the server",
                request.prefix
            )))),
        }
    }
}
