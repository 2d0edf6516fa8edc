//! What an error of a client was caused by.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Returns the text of the innermost cause: what a person needs to know.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns why no connection was made, and what to look at.
pub fn no_connection(cause: &str) -> String {
    format!("cannot connect: {cause} (is the server running, and its URL right?)")
}

/// Returns the error of TLS among the causes.
pub fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error's own `source` skips the error that it wraps.
    let wrapped = || error.downcast_ref::<io::Error>()?.get_ref();
    error
        .downcast_ref()
        .or_else(|| find_tls(wrapped()?))
        .or_else(|| find_tls(error.source()?))
}

/// Returns what a failure to open another connection was caused by, if this process has no
/// file descriptors left.
pub fn find_exhausted(error: &(dyn Error + 'static)) -> Option<String> {
    let own = error.downcast_ref::<io::Error>();
    let number = own.and_then(io::Error::raw_os_error);
    let number = number.map(Errno::from_raw_os_error);
    if matches!(number, Some(Errno::MFILE | Errno::NFILE)) {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        return Some(format!(
            "too many open files: this process may open {limit}; raise `ulimit -n`, or lower \
             --concurrency"
        ));
    }
    let wrapped = || own?.get_ref();
    wrapped()
        .and_then(|inner| find_exhausted(inner))
        .or_else(|| find_exhausted(error.source()?))
}
