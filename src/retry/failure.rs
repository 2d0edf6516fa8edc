//! What a failed request means.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, Kind};

/// The failure of a request.
#[derive(Debug)]
pub enum Failure {
    /// A retry may succeed, but not before the time that the server asked for.
    Transient {
        reason: String,
        after: Option<Duration>,
        class: FailureClass,
    },
    NotFound,
    /// A retry cannot help, but requests for other things may succeed. Access to it is denied
    /// if the error is of [`Kind::Refused`].
    Object(Error),
    /// A retry cannot help.
    Permanent(Error),
}

/// What a server showed of itself when a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// There was no response.
    Silent,
    /// There was no connection, which in HTTP concerns only one request.
    Unconnected,
    Answered,
    /// It asks for fewer requests.
    Throttled,
    /// The object is not there yet.
    Missing,
    /// A transaction was rolled back because of another one.
    Conflict,
    /// This process cannot open another file or connection.
    Exhausted,
}

impl Failure {
    /// Returns a failure that a retry may help.
    pub fn transient(class: FailureClass, reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            after: None,
            class,
        }
    }

    /// Returns a failure that ends the run with the exit status of `kind`.
    pub fn permanent(kind: Kind, text: impl Display) -> Self {
        Self::Permanent(Error::message(kind, text))
    }

    /// Returns the error that ends the run; its exit status is 69 after too many retries.
    /// `what` names the request.
    pub fn into_error(self, what: &str) -> Error {
        match self {
            Self::Transient {
                reason,
                class: FailureClass::Exhausted,
                ..
            } => Error::message(Kind::LocalIo, reason),
            Self::Transient { reason, .. } => Error::unavailable(reason),
            Self::NotFound => Error::configuration(format!("{what}: not found")),
            Self::Object(error) | Self::Permanent(error) => error,
        }
    }
}

/// The failures of a server that is unavailable.
pub const UNAVAILABLE: &[FailureClass] = &[
    FailureClass::Silent,
    FailureClass::Unconnected,
    FailureClass::Answered,
    FailureClass::Throttled,
];

/// The failures by which a server shows nothing of itself.
pub const UNREACHABLE: &[FailureClass] = &[FailureClass::Silent, FailureClass::Unconnected];
