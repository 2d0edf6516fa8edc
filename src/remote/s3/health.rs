//! Whether a server still serves other objects when requests for one of them fail.

use std::borrow::Cow;

use super::{Bucket, ListQuery, S3};
use crate::listing::ResponseKeys;
use crate::remote::concurrency::ConcurrencyLimit;
use crate::retry::{Announce, Failure, Policy, Retry};

/// How many other objects are requested, and how often each.
const OTHERS: usize = 4;
const TRIES: u32 = 2;
/// How many bytes of each are read.
const ENOUGH: usize = 1 << 20;

/// How a server responds to requests for other objects.
pub enum ServerHealth {
    /// It serves the one with this key.
    ServesOthers(String),
    /// It responds, but there was no other object to request.
    Answers,
    /// It fails too.
    Fails,
}

impl S3 {
    /// Requests `known`, an object that the server has served before, or else some objects that
    /// are listed with `key`.
    pub async fn check_health(
        &self,
        bucket: &str,
        key: &str,
        known: Option<String>,
    ) -> ServerHealth {
        let mut retry = self.retry.clone();
        retry.policy = Policy {
            announce: Announce::Never,
            ..Policy::requests(TRIES)
        };
        let start = |key: String| {
            let retry = &retry;
            async move {
                let what = format!("cannot get {}", self.place(bucket, &key));
                let started = retry.try_run(&what, || self.read_start(bucket, &key)).await;
                (key, started)
            }
        };
        if let Some(known) = known
            && let (known, Ok(())) = start(known).await
        {
            return ServerHealth::ServesOthers(known);
        }
        let others = match self.list_others(&retry, bucket, key).await {
            Err(Failure::Transient { .. }) => return ServerHealth::Fails,
            others => others.unwrap_or_default(),
        };
        let mut fails = false;
        for other in others {
            match start(other).await {
                (other, Ok(())) => return ServerHealth::ServesOthers(other),
                // It was deleted since, or has a fault of its own.
                (_, Err(Failure::NotFound | Failure::Object(_))) => {}
                (_, Err(_)) => fails = true,
            }
        }
        if fails {
            return ServerHealth::Fails;
        }
        match start(format!("{key}.buildhub-pipes-probe")).await.1 {
            Ok(()) | Err(Failure::NotFound | Failure::Object(_)) => ServerHealth::Answers,
            Err(_) => ServerHealth::Fails,
        }
    }

    /// Returns other keys below the first folder of `key`, spread over a page.
    async fn list_others(
        &self,
        retry: &Retry,
        bucket: &str,
        key: &str,
    ) -> Result<Vec<String>, Failure> {
        let query = ListQuery {
            prefix: key
                .split_inclusive('/')
                .next()
                .filter(|it| it.ends_with('/'))
                .unwrap_or(""),
            delimiter: None,
            start_after: None,
            token: None,
            size: 1000,
        };
        let lister = Bucket::new(bucket, ConcurrencyLimit::new(1, None));
        let what = format!("cannot list {}", self.place(bucket, query.prefix));
        let page = retry
            .try_run(&what, || self.try_page(&lister, query))
            .await?;
        let step = page.len().div_ceil(OTHERS).max(1);
        let keys = (0..page.len()).step_by(step).map(|at| page.key(at));
        let others = keys.filter(|other| other != key);
        Ok(others.map(Cow::into_owned).collect())
    }

    /// Reads the start of an object.
    async fn read_start(&self, bucket: &str, key: &str) -> Result<(), Failure> {
        let answer = self.try_get(bucket, key).await?;
        let mut body = self.paced(answer.body, self.place(bucket, key));
        let mut read = 0;
        while read < ENOUGH
            && let Some(piece) = body.next().await?
        {
            read += piece.len();
        }
        Ok(())
    }
}
