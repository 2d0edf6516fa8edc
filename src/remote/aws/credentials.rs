//! Credentials that can be sent, and what to do where there are none.
//!
//! A provider that has failed for good is not asked again: it may be a program, or a service
//! that locks out who asks too often.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::result::ConnectorError;
use parking_lot::Mutex;

use super::failure::chain;
use super::settings::{Profile, files_of_profiles};
use crate::environment::trimmed;

/// Why there are no credentials, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NoCredentials(String);

/// The server that gives credentials does not answer, or has failed itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot get credentials: {0}; is the server that gives them running (STS, SSO, \
     AWS_CONTAINER_CREDENTIALS_FULL_URI or the metadata service)?"
)]
pub struct CredentialsAway(String);

/// Asks AWS's chain of providers.
#[derive(Debug)]
pub struct CheckedCredentials {
    chain: SharedCredentialsProvider,
    /// What to do when the chain fails.
    advice: String,
    /// The chain runs the command of `credential_process`.
    runs_command: bool,
    failed: Mutex<Option<NoCredentials>>,
}

impl CheckedCredentials {
    pub fn new(chain: SharedCredentialsProvider, profile: &Profile) -> Self {
        let flag = profile.flag();
        let runs_command = profile.get("credential_process").is_some();
        let advice = if profile
            .get("sso_session")
            .or(profile.get("sso_start_url"))
            .is_some()
        {
            format!("log in with `aws sso login{flag}`")
        } else if runs_command {
            format!(
                "run the command of credential_process in {} to see why it fails",
                files_of_profiles()
            )
        } else if trimmed("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            "check AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN".to_owned()
        } else {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a --profile, or add \
             --no-sign-request for a public bucket"
                .to_owned()
        };
        Self {
            chain,
            advice,
            runs_command,
            failed: Mutex::default(),
        }
    }

    /// Asks the chain, unless it has failed for good.
    async fn ask(&self) -> provider::Result {
        let failed = self.failed.lock().clone();
        if let Some(failed) = failed {
            return Err(CredentialsError::provider_error(failed));
        }
        let error = match self.chain.provide_credentials().await {
            Ok(credentials) => match unsendable(&credentials) {
                None => return Ok(credentials),
                Some(variable) => NoCredentials(format!(
                    "cannot use the credentials: that of {variable} holds a line break or \
                     another character that none has; correct {variable}, or what your profile \
                     says in its place"
                )),
            },
            Err(CredentialsError::CredentialsNotLoaded(_)) => {
                NoCredentials(format!("no credentials: {}", self.advice))
            }
            Err(error) if !self.runs_command && may_recover(&error) => {
                let away = CredentialsAway(chain(&error));
                return Err(CredentialsError::provider_error(away));
            }
            Err(error) => {
                let cause = chain(std::error::Error::source(&error).unwrap_or(&error));
                // What the SDK says to those who build programs with it.
                let (cause, advice) = if cause.contains("cargo feature") {
                    (
                        "the profile gets them in a way that is not supported",
                        EXPORT,
                    )
                } else {
                    (cause.trim_end_matches('.'), self.advice.as_str())
                };
                NoCredentials(format!("cannot get credentials: {cause}; {advice}"))
            }
        };
        *self.failed.lock() = Some(error.clone());
        Err(CredentialsError::provider_error(error))
    }
}

impl ProvideCredentials for CheckedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.ask())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.chain.fallback_on_interrupt()
    }
}

/// What to do if only other programs can get credentials.
const EXPORT: &str = "run eval \"$(aws configure export-credentials --format env)\" before";

/// Returns the variable of a part that no request can carry.
fn unsendable(credentials: &Credentials) -> Option<&'static str> {
    let parts = [
        ("AWS_ACCESS_KEY_ID", Some(credentials.access_key_id())),
        (
            "AWS_SECRET_ACCESS_KEY",
            Some(credentials.secret_access_key()),
        ),
        ("AWS_SESSION_TOKEN", credentials.session_token()),
    ];
    let is_bad = |text: &str| !text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut bad = parts.iter().filter(|(_, part)| part.is_some_and(is_bad));
    bad.next().map(|(variable, _)| *variable)
}

/// Returns whether a service could not be reached, or has failed itself.
fn may_recover(error: &CredentialsError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let connector = error.downcast_ref::<ConnectorError>();
        if connector.is_some_and(|error| error.is_io() || error.is_timeout()) {
            return true;
        }
        next = error.source();
    }
    let text = chain(error);
    matches!(error, CredentialsError::ProviderTimedOut(_))
        || ["Internal", "Throttl", "TooManyRequests", "Unavailable"]
            .iter()
            .any(|code| text.contains(code))
}
