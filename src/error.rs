//! Every way to stop, and the exit status of each.
//!
//! The statuses are those of sysexits.h. [`STATUSES`] is the one table: the
//! man pages print it and the tests hold every program to it.

use std::{fmt, io};

/// One row of the table of exit statuses.
pub struct Status {
    pub code: &'static str,
    pub means: &'static str,
    pub then: &'static str,
}

/// What each exit status means, and what a caller such as cron should do.
pub const STATUSES: &[Status] = &[
    row(
        "0",
        "finished, and everything adds up; sqs-receive: also after SIGTERM",
        "nothing",
    ),
    row("2", "wrong usage", "fix the command"),
    row(
        "65",
        "finished, but some records were rejected",
        "inspect the rejects",
    ),
    row(
        "69",
        "a server was unreachable after all retries",
        "run again with --resume",
    ),
    row("70", "internal error", "report it; the state is kept"),
    row(
        "74",
        "local I/O: output, state or rejects cannot be written",
        "check the disk",
    ),
    row(
        "75",
        "ended early: the input was cut, or a lock is held",
        "run again",
    ),
    row("77", "denied: credentials or TLS", "fix the credentials"),
    row(
        "78",
        "configuration or state error",
        "fix it; the message says how",
    ),
    row(
        "130, 143, 141",
        "terminated by SIGINT, SIGTERM or SIGPIPE; the state is kept",
        "run again",
    ),
];

const fn row(code: &'static str, means: &'static str, then: &'static str) -> Status {
    Status { code, means, then }
}

/// Why a program stops before its work is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Flags that do not go together.
    Usage,
    /// A server stayed away after all retries.
    Unavailable,
    /// A broken promise of our own, such as counts that do not add up.
    Internal,
    /// Output, state or rejects cannot be written, input cannot be read.
    LocalIo,
    /// Input cut, or a lock held by another run.
    EndedEarly,
    /// Credentials or TLS.
    Refused,
    /// A person has to change something: state, schema, bucket, table.
    Configuration,
    /// The input is not what the stage reads: all that was read of it is rejected.
    WrongInput,
    /// Ended by this signal (SIGPIPE for a reader that left).
    Signal(i32),
}

impl Kind {
    /// Returns the exit status; `None` for a signal, by which the process dies itself.
    pub fn status(self) -> Option<u8> {
        match self {
            Kind::Usage => Some(2),
            Kind::Unavailable => Some(69),
            Kind::Internal => Some(70),
            Kind::LocalIo => Some(74),
            Kind::EndedEarly => Some(75),
            Kind::Refused => Some(77),
            Kind::Configuration => Some(78),
            Kind::WrongInput => Some(REJECTED),
            Kind::Signal(_) => None,
        }
    }
}

/// Exit status of a run that finished with rejected records.
pub const REJECTED: u8 = 65;

/// A reason to stop: its kind decides the exit status, its text names the
/// place and the next step. The text holds those of all causes.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    cause: anyhow::Error,
    /// The next step, if it depends on where the error ends the run.
    next: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            cause: cause.into(),
            next: None,
        }
    }

    /// Returns an error of the command line (2).
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::message(Kind::Usage, text)
    }

    /// Returns an error that a person has to fix (78).
    pub fn configuration(text: impl fmt::Display) -> Self {
        Self::message(Kind::Configuration, text)
    }

    /// Returns the error of a server that stayed away (69).
    pub fn unavailable(text: impl fmt::Display) -> Self {
        Self::message(Kind::Unavailable, text)
    }

    /// Returns an error with the exit status of `kind`.
    pub fn message(kind: Kind, text: impl fmt::Display) -> Self {
        Self::new(kind, anyhow::Error::msg(text.to_string()))
    }

    /// Returns the error of an input that was cut (75).
    pub fn ended_early(text: impl fmt::Display) -> Self {
        Self::message(Kind::EndedEarly, text)
    }

    /// Returns an internal error (70): a broken promise of our own.
    pub fn internal(text: impl fmt::Display) -> Self {
        Self::message(Kind::Internal, text)
    }

    /// Returns what makes an error of a failure to read or write `place`, and
    /// keeps the failure as its cause.
    pub fn at(kind: Kind, place: impl fmt::Display) -> impl Fn(io::Error) -> Self {
        move |cause| Self::new(kind, cause).context(&place)
    }

    /// Does the same as [`at`](Self::at), for a place on this machine.
    pub fn local(place: impl fmt::Display) -> impl Fn(io::Error) -> Self {
        Self::at(Kind::LocalIo, place)
    }

    /// Does the same for a file that cannot be written, with the next step.
    pub fn unwritable(place: impl fmt::Display) -> impl Fn(io::Error) -> Self {
        move |cause| {
            let next = match cause.kind() {
                io::ErrorKind::NotFound => "no such folder; create it",
                io::ErrorKind::IsADirectory => "it is a folder; name a file",
                _ => return Self::local(format!("cannot write {place}"))(cause),
            };
            Self::message(Kind::LocalIo, format!("cannot write {place}: {next}"))
        }
    }

    /// Returns whether it was made of a `T`.
    pub fn is<T: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> bool {
        self.cause.is::<T>()
    }

    /// Adds the next step.
    pub fn then(self, next: impl fmt::Display) -> Self {
        Self {
            next: Some(next.to_string()),
            ..self
        }
    }

    /// Returns the next step that was added.
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Puts `context` before the text.
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self {
            cause: self.cause.context(context.to_string()),
            ..self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)?;
        self.next.iter().try_for_each(|next| write!(f, "; {next}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_place_keeps_its_cause() {
        let cause = || io::Error::from_raw_os_error(28);
        let error = Error::local("the disk")(cause()).context("the run");
        assert_eq!(error.to_string(), format!("the run: the disk: {}", cause()));
        let source = std::error::Error::source(&error).and_then(std::error::Error::source);
        let found = source.and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(found.and_then(io::Error::raw_os_error), Some(28));
    }
}
