//! What a failed S3 request means, and what its user should do.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

use super::download::REPLACED;
use crate::error::{Error, Kind};
use crate::listing::find_text;
use crate::remote::aws::failure::{self, RENEW, chain};
use crate::remote::http::parse_retry_after;
use crate::remote::proxy::CREDENTIALS;
use crate::retry::{Failure, FailureClass};

/// Returns what an error of the SDK means; a permanent one has the exit status of its kind.
/// `is_anonymous` says that the request was not signed.
pub fn classify<E>(error: &SdkError<E, Response>, is_anonymous: bool) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    failure::classify(error, |error| answered(error, is_anonymous))
}

/// An error response.
struct Answer {
    is_anonymous: bool,
    status: u16,
    code: Option<String>,
    message: String,
    region: Option<String>,
    after: Option<Duration>,
}

fn answered<E>(error: &SdkError<E, Response>, is_anonymous: bool) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(raw) = error.raw_response() else {
        return Failure::transient(FailureClass::Silent, chain(error));
    };
    let headers = raw.headers();
    let body = raw.body().bytes().unwrap_or_default();
    let answer = Answer {
        is_anonymous,
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
        after: headers.get("retry-after").and_then(parse_retry_after),
    };
    answer.classify(|| chain(error))
}

/// Classifies a document that came with success and is not what was asked for.
pub fn classify_document(document: &[u8]) -> Failure {
    let answer = Answer {
        is_anonymous: false,
        status: 200,
        code: find_text(document, "Code"),
        message: find_text(document, "Message").unwrap_or_default(),
        region: find_text(document, "Region"),
        after: None,
    };
    answer.classify(|| "not a listing".to_owned())
}

impl Answer {
    fn classify(self, otherwise: impl FnOnce() -> String) -> Failure {
        let Self {
            is_anonymous,
            status,
            code,
            message,
            region,
            after,
        } = self;
        // The next step follows.
        let message = message.trim_end_matches('.');
        let said = match &code {
            Some(code) => format!("{code} ({status}) {message}").trim_end().to_owned(),
            None => format!("HTTP {status}"),
        };
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
                "no such bucket; check its name and the endpoint",
            ),
            Some("NoSuchKey" | "NoSuchVersion") => Failure::NotFound,
            Some("PreconditionFailed") => Failure::permanent(Kind::EndedEarly, REPLACED),
            Some(
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ) => wrong_region(region.as_deref(), &said),
            Some("InvalidObjectState") => Failure::Object(Error::configuration(format!(
                "the object is archived: {said}; restore it with `aws s3api restore-object`, and \
                 run again"
            ))),
            Some("AccessDenied" | "AllAccessDisabled") if is_anonymous => denied(format!(
                "access denied to anonymous requests: {said}; remove --no-sign-request, and \
                 provide credentials"
            )),
            Some("AccessDenied" | "AllAccessDisabled") => denied(format!(
                "access denied: {said}; check the permissions of the credentials (a public bucket \
                 needs none with --no-sign-request)"
            )),
            Some("InvalidBucketName") => Failure::Object(Error::configuration(format!(
                "{said}; check the name of the bucket"
            ))),
            // Of a key that the server spells in another way, too.
            Some("SignatureDoesNotMatch") => denied(format!(
                "the credentials are not accepted: {said}; check AWS_SECRET_ACCESS_KEY"
            )),
            Some("InvalidAccessKeyId") => refused(format!(
                "the credentials are not accepted: {said}; check AWS_ACCESS_KEY_ID or the profile"
            )),
            Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                refused(format!("the session is not accepted: {said}; {RENEW}"))
            }
            // MinIO's.
            Some("InvalidTokenId") => {
                denied(format!("the session is not accepted: {said}; {RENEW}"))
            }
            Some("RequestTimeTooSkewed") => refused(format!(
                "the clock of this machine is wrong: {said}; set it, for example by NTP"
            )),
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
                    format!("unexpected redirect ({said}); is this an S3 endpoint?"),
                ),
                407 => Failure::permanent(Kind::Refused, format!("{said}; {CREDENTIALS}")),
                401 | 403 if is_anonymous => denied(format!(
                    "access denied to anonymous requests: {said}; check --endpoint-url, or remove \
                     --no-sign-request and provide credentials"
                )),
                401 | 403 => denied(format!(
                    "access denied: {said}; check the credentials and --endpoint-url"
                )),
                // Not S3's own word: a proxy before it, say.
                404 if code.is_none() => busy(said),
                429 | 503 => throttled(said),
                408 | 500.. => busy(said),
                200..=299 => busy(format!("cannot read the answer: {}", otherwise())),
                // S3 itself has refused this one.
                _ if code.is_some() => Failure::Object(Error::configuration(said)),
                _ => Failure::permanent(
                    Kind::Configuration,
                    format!("this does not look like an S3 server ({said}); check --endpoint-url"),
                ),
            },
        }
    }
}

fn refused(text: String) -> Failure {
    Failure::permanent(Kind::Refused, text)
}

fn denied(text: String) -> Failure {
    Failure::Object(Error::message(Kind::Refused, text))
}

fn wrong_region(region: Option<&str>, said: &str) -> Failure {
    // It is to be pasted into a shell.
    let is_name = |name: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !name.is_empty() && name.bytes().all(allowed)
    };
    let next = match region.filter(is_name) {
        Some(region) => format!("the bucket is in another region; add --region {region}"),
        None => "the bucket is in another region; name it with --region".to_owned(),
    };
    Failure::permanent(Kind::Configuration, format!("{next} ({said})"))
}
