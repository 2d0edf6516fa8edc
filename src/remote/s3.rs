//! One bucket of an S3: a page of its listing, the bytes of an object.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::RequestPayer;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use url::Url;

use super::failure::judge;
use super::retry::{Failure, Retry};
use crate::address::without_password;
use crate::cli::signals::Stop;
use crate::error::{Error, Kind, Result};
use crate::log::Log;
use crate::tally::Tally;

/// How a bucket is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct S3Args {
    /// Address of an S3 that is not AWS's [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]
    #[arg(long, help_heading = "Object storage", value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Region of the bucket [env: AWS_REGION; else that of the profile]
    #[arg(long, help_heading = "Object storage")]
    pub region: Option<String>,

    /// Profile in AWS's configuration [env: AWS_PROFILE]
    #[arg(long, help_heading = "Object storage", value_name = "NAME")]
    pub profile: Option<String>,

    /// Anonymous access, for public buckets
    #[arg(long, help_heading = "Object storage")]
    pub no_sign_request: bool,

    /// Agree to pay for requests to the bucket of somebody else
    #[arg(long, help_heading = "Object storage")]
    pub request_payer: bool,

    /// Tries of a request before it is given up
    #[arg(long, help_heading = "Object storage", value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,

    /// Seconds that a server may stay silent
    #[arg(long, help_heading = "Object storage", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// A connection to object storage.
#[derive(Clone)]
pub struct S3 {
    pub(super) client: Client,
    pub(super) retry: Retry,
    payer: Option<RequestPayer>,
    endpoint: Option<String>,
}

/// One answer of a listing.
pub struct Page {
    pub objects: Vec<Listed>,
    /// Where the next page begins; `None` at the end of the listing.
    pub next: Option<String>,
}

/// An object as a listing names it.
pub struct Listed {
    pub key: String,
    /// Without quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// RFC 3339, UTC.
    pub last_modified: Option<String>,
}

/// Which page to list.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub bucket: &'a str,
    pub prefix: &'a str,
    pub start_after: Option<&'a str>,
    pub token: Option<&'a str>,
    /// Keys at most; the server may give fewer.
    pub size: u16,
}

impl S3 {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// A CA bundle that cannot be read.
    pub async fn open(
        args: &S3Args,
        log: &Log,
        stop: &Arc<Stop>,
        tally: &Arc<Tally>,
    ) -> Result<Self> {
        let silent = Duration::from_secs(args.timeout);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(silent.min(Duration::from_secs(10)))
            .read_timeout(silent)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client()?)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(url) = &args.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &args.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile);
        }
        if args.no_sign_request {
            loader = loader.no_credentials();
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::from_static("us-east-1"));
        }
        let for_s3 = std::env::var("AWS_ENDPOINT_URL_S3").ok();
        let endpoint = args
            .endpoint_url
            .clone()
            .or_else(|| for_s3.filter(|url| !url.is_empty()))
            .or_else(|| shared.endpoint_url().map(str::to_owned));
        if let Some(url) = &endpoint
            && !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            return Err(Error::usage(format!(
                "the endpoint {:?} is no address: it must begin with http:// or https://",
                without_password(url)
            )));
        }
        // Other servers seldom have a host name for each bucket.
        config = config.force_path_style(endpoint.is_some());
        Ok(Self {
            client: Client::from_conf(config.build()),
            retry: Retry {
                attempts: args.tries,
                log: log.clone(),
                stop: Arc::clone(stop),
                tally: Arc::clone(tally),
            },
            payer: args.request_payer.then_some(RequestPayer::Requester),
            endpoint: endpoint.as_deref().map(without_password),
        })
    }

    /// The address of a server that is not AWS's, without passwords.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// One page of a listing, all of it or an error.
    pub async fn page(&self, request: Request<'_>) -> Result<Page> {
        let what = format!("list s3://{}/{}", request.bucket, request.prefix);
        self.retry.run(&what, || self.try_page(request)).await
    }

    async fn try_page(&self, request: Request<'_>) -> Result<Page, Failure> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(request.bucket)
            .set_prefix((!request.prefix.is_empty()).then(|| request.prefix.to_owned()))
            .set_start_after(
                request
                    .start_after
                    .filter(|_| request.token.is_none())
                    .map(str::to_owned),
            )
            .set_continuation_token(request.token.map(str::to_owned))
            .max_keys(i32::from(request.size))
            .encoding_type(aws_sdk_s3::types::EncodingType::Url)
            .set_request_payer(self.payer.clone())
            .send()
            .await
            .map_err(|error| judge(&error))?;
        let encoded = answer.encoding_type().is_some();
        let mut objects = Vec::with_capacity(answer.contents().len());
        for object in answer.contents() {
            let key = object.key().unwrap_or_default();
            objects.push(Listed {
                key: if encoded {
                    decode(key)?
                } else {
                    key.to_owned()
                },
                etag: object.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
                size: object.size(),
                last_modified: object.last_modified().and_then(timestamp),
            });
        }
        whole(&answer)?;
        let next = answer.next_continuation_token.clone();
        let more = answer.is_truncated() == Some(true);
        if more && next.is_none() {
            return Err(Failure::Final(Error::message(
                Kind::Configuration,
                "the server says that there is more, but gives no continuation token",
            )));
        }
        Ok(Page {
            objects,
            next: next.filter(|_| more),
        })
    }

    /// Starts a download; the body follows.
    pub(super) async fn try_get(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<aws_sdk_s3::operation::get_object::GetObjectOutput, Failure> {
        self.client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.payer.clone())
            .send()
            .await
            .map_err(|error| judge(&error))
    }
}

/// Whether a page is all that the server meant to send: a body without a
/// length may end anywhere, and still be read.
fn whole(answer: &ListObjectsV2Output) -> Result<(), Failure> {
    let got = i32::try_from(answer.contents().len()).ok();
    let counted = answer.key_count().is_none_or(|count| Some(count) == got);
    if counted && answer.is_truncated().is_some() {
        return Ok(());
    }
    Err(Failure::Passing {
        reason: "the page was cut".to_owned(),
        after: None,
        answered: true,
    })
}

/// AWS's own trust settings: the system's roots, or `AWS_CA_BUNDLE`.
fn http_client() -> Result<aws_sdk_s3::config::SharedHttpClient> {
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    let store = match bundle.map(PathBuf::from) {
        None => TrustStore::default(),
        Some(path) => {
            let pem = std::fs::read(&path).map_err(|error| {
                Error::configuration(format!("AWS_CA_BUNDLE: {}: {error}", path.display()))
            })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    let tls = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|error| Error::configuration(format!("TLS: {error}")))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https())
}

fn timestamp(time: &aws_sdk_s3::primitives::DateTime) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(time.to_millis().ok()?).ok()?;
    Some(format!("{time:.3}"))
}

/// A key as `encoding-type=url` writes it: percent escapes, `+` for a space.
fn decode(key: &str) -> Result<String, Failure> {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| {
            Failure::Final(Error::message(
                Kind::Configuration,
                format!("the server lists a key that is not UTF-8: {key}"),
            ))
        })
}
