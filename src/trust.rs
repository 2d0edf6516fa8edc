//! The authorities that a connection trusts besides the public ones: the system's, or those
//! that OpenSSL's variables name.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Kind, Result};

/// Returns the certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or without these the system's.
///
/// # Errors
/// `SSL_CERT_FILE` cannot be read, or holds no certificate (78).
pub fn authorities() -> Result<Vec<CertificateDer<'static>>> {
    check()?;
    Ok(rustls_native_certs::load_native_certs().certs)
}

/// Checks the file that `SSL_CERT_FILE` names.
///
/// # Errors
/// It cannot be read, or holds no certificate (78).
pub fn check() -> Result<()> {
    let named = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    match named.map(PathBuf::from).map(|path| read(&path)) {
        Some(Err(error)) => Err(error.context("SSL_CERT_FILE")),
        _ => Ok(()),
    }
}

/// Returns the certificates of a file in PEM.
///
/// # Errors
/// It cannot be read, or holds none (78).
pub fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let place = path.display();
    let pem = fs::read(path).map_err(Error::at(Kind::Configuration, &place))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| Error::configuration(format!("{place}: {error}")))?;
    if found.is_empty() {
        let message = format!("{place}: the file contains no certificate");
        return Err(Error::configuration(message));
    }
    Ok(found)
}
