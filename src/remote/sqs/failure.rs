//! What a failed request to a queue means, and what its user should do.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::error::Kind;
use crate::remote::aws::failure::{self, RENEW, chain};
use crate::remote::http::parse_retry_after;
use crate::remote::proxy::CREDENTIALS;
use crate::retry::{Failure, FailureClass};

/// The error of a request to a queue.
pub trait Operation: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {}

impl<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static> Operation for E {}

/// Returns what an error of the SDK means; a permanent one has the exit status of its kind.
pub fn classify<E: Operation>(error: &SdkError<E>) -> Failure {
    failure::classify(error, answered)
}

/// Returns whether the queue delivers nothing before some messages in flight are deleted.
pub fn is_over_limit<E: Operation>(error: &SdkError<E>) -> bool {
    error.code().map(bare) == Some("OverLimit")
}

/// Returns a code without the name that the protocol before this one puts before it.
fn bare(code: &str) -> &str {
    code.rsplit(['.', '#']).next().unwrap_or(code)
}

fn answered<E: Operation>(error: &SdkError<E>) -> Failure {
    let Some(raw) = error.raw_response() else {
        return Failure::transient(FailureClass::Silent, chain(error));
    };
    let status = raw.status().as_u16();
    let code = error.code().map(bare);
    let message = error.message().unwrap_or_default().trim_end_matches('.');
    let said = match code {
        Some(code) => format!("{code} ({status}) {message}").trim_end().to_owned(),
        None => format!("HTTP {status}"),
    };
    let after = raw.headers().get("retry-after").and_then(parse_retry_after);
    let transient = |class, reason| Failure::Transient {
        reason,
        after,
        class,
    };
    let refused = |text| Failure::permanent(Kind::Refused, text);
    match code {
        Some("NonExistentQueue" | "QueueDoesNotExist") => Failure::permanent(
            Kind::Configuration,
            "no such queue; check its URL, the region and the endpoint",
        ),
        Some("AccessDenied" | "AccessDeniedException" | "KmsAccessDenied") => refused(format!(
            "access denied: {said}; check the credentials and the policy of the queue"
        )),
        Some("SignatureDoesNotMatch") => refused(format!(
            "the credentials are not accepted: {said}; check AWS_SECRET_ACCESS_KEY"
        )),
        Some(
            "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "UnrecognizedClientException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException",
        ) => refused(format!(
            "the credentials are not accepted: {said}; check AWS_ACCESS_KEY_ID or the profile"
        )),
        Some("ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "InvalidSecurity") => {
            refused(format!("the session is not accepted: {said}; {RENEW}"))
        }
        Some("RequestExpired" | "RequestTimeTooSkewed") => refused(format!(
            "the clock of this machine is wrong: {said}; set it, for example by NTP"
        )),
        Some(
            "OverLimit"
            | "RequestThrottled"
            | "Throttling"
            | "ThrottlingException"
            | "KmsThrottled"
            | "ServiceUnavailable",
        ) => transient(FailureClass::Throttled, said),
        _ => match status {
            407 => refused(format!("{said}; {CREDENTIALS}")),
            401 | 403 => refused(format!("access denied: {said}; check the credentials")),
            429 | 503 => transient(FailureClass::Throttled, said),
            408 | 500.. => transient(FailureClass::Answered, said),
            200..=299 => transient(
                FailureClass::Answered,
                format!("cannot read the answer: {}", chain(error)),
            ),
            _ if code.is_some() => Failure::permanent(
                Kind::Configuration,
                format!("the request is refused: {said}; check the URL of the queue"),
            ),
            _ => Failure::permanent(
                Kind::Configuration,
                format!("this does not look like an SQS server ({said}); check the queue's URL"),
            ),
        },
    }
}
