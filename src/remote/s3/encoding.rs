//! Decodes the bodies of objects that are stored compressed.

use std::io::{self, Read, Write};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// The buffer of the brotli decoder, in bytes.
const BUFFER: usize = 16 << 10;

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "the object is stored with the Content-Encoding {0:?}, which cannot be decoded; store it \
         without one, or with gzip"
    )]
    Unknown(String),
    #[error("the object is not the {0} that its Content-Encoding says: {1}")]
    Invalid(String, io::Error),
    #[error("the object has more than {0} bytes when it is decoded")]
    TooLarge(u64),
}

/// Returns the encodings that a Content-Encoding names, in the order that they were applied.
pub fn encodings(header: Option<&str>) -> Vec<String> {
    let names = header.unwrap_or_default().split(',');
    let names = names.map(|name| name.trim().to_ascii_lowercase());
    // Some servers store the encoding of the transport, which the client has decoded.
    names
        .filter(|name| !matches!(name.as_str(), "" | "identity" | "aws-chunked"))
        .collect()
}

/// Returns how many bytes a body has when it is decoded.
///
/// # Errors
/// More than `limit`, or an encoding that is unknown or invalid.
pub fn decoded_length(encodings: &[String], body: &[u8], limit: u64) -> Result<u64, DecodeError> {
    copy(encodings, body, limit, &mut io::sink())
}

/// Decodes a body.
///
/// # Errors
/// More than `limit` bytes, or an encoding that is unknown or invalid.
pub fn decode(encodings: &[String], body: Vec<u8>, limit: u64) -> Result<Vec<u8>, DecodeError> {
    if encodings.is_empty() {
        return Ok(body);
    }
    let mut decoded = Vec::new();
    copy(encodings, &body, limit, &mut decoded)?;
    Ok(decoded)
}

fn copy(
    encodings: &[String],
    body: &[u8],
    limit: u64,
    out: &mut impl Write,
) -> Result<u64, DecodeError> {
    let mut reader: Box<dyn Read + '_> = Box::new(body);
    // A proxy may have decoded it, and left the header.
    let is_plain = body.trim_ascii_start().starts_with(b"{");
    for encoding in encodings.iter().rev().filter(|_| !is_plain) {
        reader = decoder(encoding, reader, body)
            .map_err(|error| DecodeError::Invalid(encoding.clone(), error))?
            .ok_or_else(|| DecodeError::Unknown(encoding.clone()))?;
    }
    let copied = io::copy(&mut reader.take(limit.saturating_add(1)), out)
        .map_err(|error| DecodeError::Invalid(encodings.join(", "), error))?;
    if copied > limit {
        return Err(DecodeError::TooLarge(limit));
    }
    Ok(copied)
}

fn decoder<'a>(
    encoding: &str,
    reader: Box<dyn Read + 'a>,
    body: &[u8],
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    // By the standard deflate is zlib; some write it without zlib's header.
    let is_zlib = matches!(body, [first, second, ..]
        if first & 0xf == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0);
    Ok(Some(match encoding {
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(reader)),
        "deflate" if is_zlib => Box::new(ZlibDecoder::new(reader)),
        "deflate" => Box::new(DeflateDecoder::new(reader)),
        "br" => Box::new(brotli_decompressor::Decompressor::new(reader, BUFFER)),
        "zstd" => Box::new(zstd::Decoder::new(reader)?),
        _ => return Ok(None),
    }))
}
