//! What a failed S3 request means, and what its user should do.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

use super::download::REPLACED;
use crate::error::Kind;
use crate::listing::find_text;
use crate::remote::cause::{find_tls, root_cause};
use crate::retry::{Failure, FailureClass};

/// Returns what an error of the SDK means; a permanent one has the exit status of its kind.
pub fn classify<E>(error: &SdkError<E, Response>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if lacks_credentials(error) {
        return Failure::permanent(
            Kind::Refused,
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a --profile, \
             or add --no-sign-request for a public bucket",
        );
    }
    match error {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => answered(error),
        SdkError::TimeoutError(_) => Failure::transient(FailureClass::Silent, "no answer in time"),
        SdkError::ConstructionFailure(_) => Failure::InvalidRequest(chain(error)),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map_or_else(
                || "the request could not be sent".to_owned(),
                |error| root_cause(error),
            );
            if find_tls(error).is_some() {
                return Failure::permanent(
                    Kind::Refused,
                    format!("TLS: {cause}; is the certificate trusted (AWS_CA_BUNDLE)?"),
                );
            }
            if failure.is_user() {
                return Failure::permanent(Kind::Configuration, cause);
            }
            Failure::transient(FailureClass::Silent, cause)
        }
        _ => Failure::transient(FailureClass::Silent, chain(error)),
    }
}

/// Returns whether no provider has credentials; a provider that failed may succeed later.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = matches!(
        error.downcast_ref(),
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    );
    own || error.source().is_some_and(lacks_credentials)
}

/// An error response.
struct Answer {
    status: u16,
    code: Option<String>,
    message: String,
    region: Option<String>,
    after: Option<Duration>,
}

fn answered<E>(error: &SdkError<E, Response>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(raw) = error.raw_response() else {
        return Failure::transient(FailureClass::Silent, chain(error));
    };
    let headers = raw.headers();
    let seconds = headers.get("retry-after");
    let body = raw.body().bytes().unwrap_or_default();
    let answer = Answer {
        status: raw.status().as_u16(),
        code: error
            .code()
            .map(str::to_owned)
            .or_else(|| find_text(body, "Code")),
        message: error
            .message()
            .map(str::to_owned)
            .or_else(|| find_text(body, "Message"))
            .unwrap_or_default(),
        region: headers
            .get("x-amz-bucket-region")
            .map(str::to_owned)
            .or_else(|| find_text(body, "Region")),
        after: seconds
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
    };
    answer.classify(|| chain(error))
}

/// Classifies a document that came with success and is not what was asked for.
pub fn classify_document(document: &[u8]) -> Failure {
    let answer = Answer {
        status: 200,
        code: find_text(document, "Code"),
        message: find_text(document, "Message").unwrap_or_default(),
        region: find_text(document, "Region"),
        after: None,
    };
    answer.classify(|| "it is no listing".to_owned())
}

impl Answer {
    fn classify(self, otherwise: impl FnOnce() -> String) -> Failure {
        let Self {
            status,
            code,
            message,
            region,
            after,
        } = self;
        let said = format!(
            "{} ({status}) {message}",
            code.as_deref().unwrap_or("no error code")
        );
        let with = |class, reason: String| Failure::Transient {
            reason,
            after,
            class,
        };
        let busy = |reason| with(FailureClass::Answered, reason);
        let throttled = |reason| with(FailureClass::Throttled, reason);
        match code.as_deref() {
            Some("NoSuchBucket") => Failure::permanent(
                Kind::Configuration,
                "there is no such bucket; check its name and the endpoint",
            ),
            Some("NoSuchKey" | "NoSuchVersion") => Failure::NotFound,
            Some("PreconditionFailed") => Failure::permanent(Kind::EndedEarly, REPLACED),
            Some(
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ) => wrong_region(region.as_deref(), &said),
            Some("AccessDenied" | "AllAccessDisabled") => Failure::permanent(
                Kind::Refused,
                format!(
                    "access is refused: {said}; check the credentials, or add --no-sign-request if the bucket is public"
                ),
            ),
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "RequestTimeTooSkewed",
            ) => Failure::permanent(
                Kind::Refused,
                format!("the credentials are refused: {said}"),
            ),
            Some(
                "SlowDown"
                | "SlowDownRead"
                | "ServiceUnavailable"
                | "Throttling"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "BandwidthLimitExceeded",
            ) => throttled(said),
            Some("InternalError" | "RequestTimeout") => busy(said),
            _ => match status {
                301 | 307 | 308 if region.is_some() => wrong_region(region.as_deref(), &said),
                300..=399 => Failure::permanent(
                    Kind::Configuration,
                    format!("sent elsewhere ({said}): is this the address of an S3?"),
                ),
                401 | 403 => {
                    Failure::permanent(Kind::Refused, format!("access is refused: {said}"))
                }
                // Not S3's own word: a proxy before it, say.
                404 if code.is_none() => busy(said),
                429 | 503 => throttled(said),
                408 | 500.. => busy(said),
                200..=299 => busy(format!("the answer cannot be read: {}", otherwise())),
                _ => Failure::permanent(Kind::Configuration, said),
            },
        }
    }
}

fn wrong_region(region: Option<&str>, said: &str) -> Failure {
    let next = match region {
        Some(region) => format!("the bucket is in another region; add --region {region}"),
        None => "the bucket is in another region; name it with --region".to_owned(),
    };
    Failure::permanent(Kind::Configuration, format!("{next} ({said})"))
}

fn chain(error: &dyn std::error::Error) -> String {
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
