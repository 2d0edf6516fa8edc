//! What an error of a client was caused by.

use std::error::Error;
use std::io;

/// Returns the text of the innermost cause: what a person needs to know.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
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
