//! What it means that a request of the SDK got no answer.

use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_runtime_api::http::Response;

use super::credentials::{CredentialsAway, NoCredentials};
use crate::error::{Error, Kind};
use crate::remote::cause::{find_exhausted, find_tls, no_connection, no_tls, root_cause};
use crate::remote::proxy::{CREDENTIALS, ProxyError, is_unauthorized};
use crate::retry::{Failure, FailureClass};

pub const RENEW: &str = "renew it, for example with aws sso login or a new AWS_SESSION_TOKEN";

/// Returns what an error of the SDK means; a permanent one has the exit status of its kind.
/// `answered` classifies an error response.
pub fn classify<E>(
    error: &SdkError<E, Response>,
    answered: impl FnOnce(&SdkError<E, Response>) -> Failure,
) -> Failure
where
    E: std::error::Error + 'static,
{
    if let Some(missing) = find::<NoCredentials>(error) {
        return Failure::permanent(Kind::Refused, missing);
    }
    if let Some(away) = find::<CredentialsAway>(error) {
        return Failure::transient(FailureClass::Silent, away.to_string());
    }
    match error {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => answered(error),
        SdkError::TimeoutError(_) => unanswered(),
        SdkError::ConstructionFailure(_) => Failure::Object(Error::configuration(chain(error))),
        SdkError::DispatchFailure(failure) => {
            let Some(connector) = failure.as_connector_error() else {
                return Failure::transient(FailureClass::Silent, "the request could not be sent");
            };
            dispatch_failed(connector)
        }
        _ => Failure::transient(FailureClass::Silent, chain(error)),
    }
}

/// Returns the failure of a request whose answer did not come in time.
pub fn unanswered() -> Failure {
    Failure::transient(FailureClass::Silent, "timed out: no answer in time")
}

fn dispatch_failed(error: &ConnectorError) -> Failure {
    let mut cause = root_cause(error);
    if let Some(exhausted) = find_exhausted(error) {
        return Failure::transient(FailureClass::Exhausted, exhausted);
    }
    if let Some(proxy) = find::<ProxyError>(error) {
        cause = format!("{proxy}: {cause}");
    }
    if is_unauthorized(&cause) {
        return Failure::permanent(Kind::Refused, format!("{cause}; {CREDENTIALS}"));
    }
    if error.is_timeout() {
        return unanswered();
    }
    if let Some(error) = find_tls(error) {
        return no_tls(error, "AWS_CA_BUNDLE", "the endpoint's URL");
    }
    if error.is_user() {
        return Failure::permanent(Kind::Configuration, cause);
    }
    Failure::transient(FailureClass::Silent, no_connection(&cause))
}

/// Returns the `E` among the causes of an error.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    error.downcast_ref().or_else(|| find(error.source()?))
}

/// Returns the texts of an error and its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}
