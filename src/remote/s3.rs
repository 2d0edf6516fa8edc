//! Object storage: the connection (here), pages of listings (`listing`), many small objects
//! (`fetch`), one large object (`download`), and what failures mean (`failure`).

mod body;
mod body_room;
mod denials;
pub mod download;
mod encoding;
mod failure;
pub mod fetch;
mod health;
mod listing;
mod raw_body;
mod response_headers;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::RequestPayer;

use self::failure::classify;
use self::response_headers::ResponseHeaders;
use crate::address::without_password;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::s3::unquote_etag;
use crate::remote::aws::{AwsConnection, AwsSettings, Service};
use crate::retry::{Failure, FailureClass, Policy, Retry};
use crate::values;

pub use self::listing::{Bucket, ListQuery};

/// How a bucket is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct S3Args {
    /// URL of an S3 server other than AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]
    #[arg(long, help_heading = "Object storage", value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Region of the bucket [env: AWS_REGION; else that of the profile]
    #[arg(long, help_heading = "Object storage")]
    pub region: Option<String>,

    /// Profile in the AWS configuration [env: AWS_PROFILE]
    #[arg(long, help_heading = "Object storage", value_name = "NAME")]
    pub profile: Option<String>,

    /// Send anonymous requests, for public buckets
    #[arg(long, help_heading = "Object storage")]
    pub no_sign_request: bool,

    /// Pay for the requests yourself (requester-pays buckets)
    #[arg(long, help_heading = "Object storage")]
    pub request_payer: bool,

    /// Where requests name the bucket: in the path of the URL, or in its host name (virtual);
    /// auto: in the path, except for AWS
    #[arg(long, help_heading = "Object storage", value_name = "STYLE", value_enum, default_value_t = AddressingStyle::Auto)]
    pub addressing_style: AddressingStyle,

    /// Maximum number of attempts per request
    #[arg(long, help_heading = "Object storage", value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,

    /// Give up on a request after this long without data
    #[arg(long = "read-timeout", alias = "timeout", help_heading = "Object storage", value_name = "TIME", default_value = "30s", value_parser = values::whole_seconds)]
    pub timeout: Duration,
}

/// Where requests name the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AddressingStyle {
    Auto,
    Path,
    Virtual,
}

/// A connection to object storage.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    retry: Retry,
    /// How long the server may stay silent.
    timeout: Duration,
    payer: Option<RequestPayer>,
    is_anonymous: bool,
    endpoint: Option<String>,
    /// Names the proxy in messages.
    proxy: Option<String>,
}

impl S3 {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// A profile, certificates, or an address that cannot be used (78 or 2).
    pub async fn open(args: &S3Args, context: &Context) -> Result<Self> {
        let settings = AwsSettings {
            service: Service::S3,
            endpoint_url: args.endpoint_url.as_deref(),
            region: args.region.as_deref(),
            profile: args.profile.as_deref(),
            anonymous: args.no_sign_request,
            timeout: args.timeout,
        };
        let aws = AwsConnection::load(&settings, context).await?;
        let mut config = aws_sdk_s3::config::Builder::from(&aws.shared)
            .region(aws.region)
            .use_arn_region(true)
            .interceptor(ResponseHeaders);
        let endpoint = aws.endpoint;
        config.set_endpoint_url(endpoint.clone());
        config.set_credentials_provider(aws.credentials);
        // Other servers seldom have a host name for each bucket.
        config = config.force_path_style(match args.addressing_style {
            AddressingStyle::Auto => endpoint.is_some(),
            AddressingStyle::Path => true,
            AddressingStyle::Virtual => false,
        });
        Ok(Self {
            client: Client::from_conf(config.build()),
            retry: Retry::new(Policy::requests(args.tries), context),
            timeout: args.timeout,
            payer: args.request_payer.then_some(RequestPayer::Requester),
            is_anonymous: args.no_sign_request,
            endpoint: endpoint.as_deref().map(without_password),
            proxy: aws.proxy,
        })
    }

    /// Returns the address of a server that is not AWS's, without passwords.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Returns an object, or the start of keys, for messages: with the address of a server that
    /// is not AWS's, and of a proxy.
    pub fn place(&self, bucket: &str, key: &str) -> String {
        let mut place = format!("s3://{bucket}/{key}");
        if let Some(endpoint) = &self.endpoint {
            place = format!("{place} at {endpoint}");
        }
        if let Some(proxy) = &self.proxy {
            place += proxy;
        }
        place
    }

    /// Starts a download, and returns its headers; the body follows.
    async fn try_get(&self, bucket: &str, key: &str) -> Result<GetObjectOutput, Failure> {
        let answer = self.try_get_rest(bucket, key, 0, None).await?;
        refuse_part(&answer)?;
        Ok(answer)
    }

    /// Starts a download after the first `from` bytes of an object, which must still have
    /// `etag`.
    async fn try_get_rest(
        &self,
        bucket: &str,
        key: &str,
        from: u64,
        etag: Option<&str>,
    ) -> Result<GetObjectOutput, Failure> {
        fits_address(&[Some(bucket), Some(key)])?;
        let answer = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_range((from > 0).then(|| format!("bytes={from}-")))
            // A weak one never matches.
            .set_if_match(etag.map(|etag| format!("\"{}\"", unquote_etag(etag))))
            .set_request_payer(self.payer.clone())
            .send();
        let answer = self.retry.watch(self.place(bucket, key), answer).await;
        answer.map_err(|error| classify(&error, self.is_anonymous))
    }
}

/// Refuses a part of an object where the whole was asked for.
fn refuse_part(answer: &GetObjectOutput) -> Result<(), Failure> {
    answer.content_range().map_or(Ok(()), |range| {
        let reason = format!("asked for the whole object, got a part (206, {range})");
        Err(Failure::transient(FailureClass::Answered, reason))
    })
}

/// The bytes of the longest address of a request; the client takes 65,534.
const LONGEST_ADDRESS: usize = 60_000;

/// Returns whether a request can carry `texts` in its address; the SDK panics if not.
///
/// # Errors
/// They are too long.
fn fits_address(texts: &[Option<&str>]) -> Result<(), Failure> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let length = |text: &str| {
        let plain = text.bytes().filter(is_plain).count();
        3 * text.len() - 2 * plain
    };
    let bytes: usize = texts.iter().flatten().map(|text| length(text)).sum();
    if bytes <= LONGEST_ADDRESS {
        return Ok(());
    }
    Err(Failure::Object(Error::configuration(format!(
        "the name is too long: a request for it takes {bytes} bytes, more than {LONGEST_ADDRESS}; \
         S3 has no name of more than 1,024 bytes"
    ))))
}
