//! The connection to a service of AWS, or to another server with its API: settings,
//! credentials, certificates, proxies, and what a request without an answer means.

mod credentials;
pub mod failure;
mod http_client;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use self::credentials::CheckedCredentials;
use self::http_client::http_client;
use self::settings::Profile;
pub use self::settings::Service;
use crate::context::Context;
use crate::environment::blank;
use crate::error::{Error, Result};
use crate::remote::proxy::{Proxies, through};

/// How a service is reached: what its user typed.
pub struct AwsSettings<'a> {
    pub service: Service,
    pub endpoint_url: Option<&'a str>,
    /// The region of the requests, if the user chose one.
    pub region: Option<&'a str>,
    pub profile: Option<&'a str>,
    /// Requests are not signed.
    pub anonymous: bool,
    /// How long the server may stay silent.
    pub timeout: Duration,
}

/// The settings of a service, complete.
pub struct AwsConnection {
    pub shared: SdkConfig,
    pub region: Region,
    /// The address of a server that is not AWS's.
    pub endpoint: Option<String>,
    pub credentials: Option<SharedCredentialsProvider>,
    /// Names the proxy in messages.
    pub proxy: Option<String>,
}

impl AwsConnection {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// A profile, certificates, or an address that cannot be used (78 or 2).
    pub async fn load(settings: &AwsSettings<'_>, context: &Context) -> Result<Self> {
        let profile = Profile::read(settings).await?;
        let proxies = Arc::new(Proxies::from_env()?);
        let certificates = profile.certificates();
        let (bundle, named_by) = certificates.unzip();
        let http_client = http_client(bundle.as_deref(), Arc::clone(&proxies)).map_err(
            |error| match named_by {
                Some(name) => error.context(name),
                None => error,
            },
        )?;
        let timeout = settings.timeout;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .read_timeout(timeout)
            .build();
        let loader = |region: Option<Region>| {
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .http_client(http_client.clone())
                .profile_files(profile.files.clone())
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts.clone())
                // `PacedBody` does that for objects, and says so; other answers are small.
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
            if let Some(region) = region {
                loader = loader.region(region);
            }
            if let Some(name) = &profile.chosen {
                loader = loader.profile_name(name);
            }
            if settings.anonymous {
                loader = loader.no_credentials();
            }
            loader
        };
        let chosen = settings.region.map(|name| Region::new(name.to_owned()));
        let mut shared = loader(chosen).load().await;
        let has_name = |region: &Region| !region.as_ref().trim().is_empty();
        if !shared.region().is_some_and(has_name) {
            // The servers that give credentials have a region too.
            shared = loader(Some(Region::from_static("us-east-1"))).load().await;
        }
        let endpoint = profile.endpoint(settings, &shared)?;
        for name in blank().iter().filter(|name| name.contains("ENDPOINT")) {
            let log = &context.log;
            log.info(format!("{name} is blank, so it counts as not set"));
        }
        let region = region(&shared)?;
        let server = match &endpoint {
            Some(url) => url.clone(),
            None => settings.service.aws_url(&region),
        };
        let credentials = shared.credentials_provider();
        let checked =
            |chain| SharedCredentialsProvider::new(CheckedCredentials::new(chain, &profile));
        Ok(Self {
            credentials: credentials.map(checked),
            proxy: proxies.find(&server).map(through),
            shared,
            region,
            endpoint,
        })
    }
}

/// Returns the region of requests; a bucket elsewhere answers with its own.
///
/// # Errors
/// A name that no region has (78).
fn region(shared: &SdkConfig) -> Result<Region> {
    let name = shared.region().map_or("", AsRef::as_ref).trim();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.bytes().all(is_letter) {
        return Err(Error::configuration(format!(
            "cannot use the region {name:?}: a region has only letters, digits and hyphens; \
             correct --region, AWS_REGION or the profile"
        )));
    }
    Ok(Region::new(name.to_owned()))
}
