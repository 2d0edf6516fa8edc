//! Object storage: the connection (here), pages of listings (`listing`), many small objects
//! (`fetch`), one large object (`download`), and what failures mean (`failure`).

pub mod download;
mod failure;
pub mod fetch;
mod listing;
mod raw_body;

use std::path::PathBuf;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::RequestPayer;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use url::Url;

use self::failure::classify;
use crate::address::without_password;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::retry::{Failure, Policy, Retry};
use crate::{trust, values};

pub use self::listing::{Bucket, ListQuery};

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

    /// Maximum number of tries of a request
    #[arg(long, help_heading = "Object storage", value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,

    /// Give up on a request after this long without data
    #[arg(long = "read-timeout", alias = "timeout", help_heading = "Object storage", value_name = "TIME", default_value = "30s", value_parser = values::whole_seconds)]
    pub timeout: Duration,
}

/// A connection to object storage.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    retry: Retry,
    payer: Option<RequestPayer>,
    endpoint: Option<String>,
}

impl S3 {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// Certificates to trust that cannot be read (78).
    pub async fn open(args: &S3Args, context: &Context) -> Result<Self> {
        let silent = args.timeout;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(silent.min(Duration::from_secs(10)))
            .read_timeout(silent)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client()?)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .grace_period(silent)
                    .build(),
            );
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
            retry: Retry::new(Policy::requests(args.tries), context),
            payer: args.request_payer.then_some(RequestPayer::Requester),
            endpoint: endpoint.as_deref().map(without_password),
        })
    }

    /// The address of a server that is not AWS's, without passwords.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// An object, or the start of keys, for messages: with the address of a server that
    /// is not AWS's.
    pub fn place(&self, bucket: &str, key: &str) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("s3://{bucket}/{key} at {endpoint}"),
            None => format!("s3://{bucket}/{key}"),
        }
    }

    /// Starts a download, and returns its headers; the body follows.
    async fn try_get(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<aws_sdk_s3::operation::get_object::GetObjectOutput, Failure> {
        self.try_get_rest(bucket, key, 0, None).await
    }

    /// Starts a download after the first `from` bytes of an object, which must still have
    /// `etag`.
    async fn try_get_rest(
        &self,
        bucket: &str,
        key: &str,
        from: u64,
        etag: Option<&str>,
    ) -> Result<aws_sdk_s3::operation::get_object::GetObjectOutput, Failure> {
        self.client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_range((from > 0).then(|| format!("bytes={from}-")))
            .set_if_match(etag.map(str::to_owned))
            .set_request_payer(self.payer.clone())
            .send()
            .await
            .map_err(|error| classify(&error))
    }
}

/// AWS's own trust settings: the system's roots, or `AWS_CA_BUNDLE`.
fn http_client() -> Result<aws_sdk_s3::config::SharedHttpClient> {
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    let store = match bundle.map(PathBuf::from) {
        None => {
            trust::check()?;
            TrustStore::default()
        }
        Some(path) => {
            trust::read(&path).map_err(|error| error.context("AWS_CA_BUNDLE"))?;
            let pem =
                std::fs::read(&path).map_err(Error::at(Kind::Configuration, path.display()))?;
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
