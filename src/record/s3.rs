//! How S3 writes URLs, keys, ETags and times.

use std::borrow::Cow;

use memchr::memchr2;

/// Returns the bucket and the rest of `s3://bucket/rest`; the rest may be empty. An access
/// point is a bucket by its ARN: `s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/rest`.
pub fn split_url(url: &str) -> Option<(&str, &str)> {
    let path = url.strip_prefix("s3://")?;
    let slashes = match path
        .strip_prefix("arn:")
        .and_then(|arn| arn.splitn(5, ':').last())
    {
        Some(resource) if resource.starts_with("outpost/") => 3,
        Some(resource) if resource.starts_with("accesspoint/") => 1,
        _ => 0,
    };
    let end = path.match_indices('/').nth(slashes);
    let (bucket, rest) = match end {
        Some((at, _)) => (&path[..at], &path[at + 1..]),
        None => (path, ""),
    };
    (!bucket.is_empty()).then_some((bucket, rest))
}

/// Returns an `ETag` without the quotes that S3 sends it in, and without the mark of a weak
/// one: a proxy that compresses makes it weak.
pub fn unquote_etag(etag: &str) -> &str {
    let strong = etag.strip_prefix("W/").filter(|rest| rest.starts_with('"'));
    strong.unwrap_or(etag).trim_matches('"')
}

/// Does the same as [`unquote_etag`], for a text that may be owned.
pub fn unquote(etag: Cow<'_, str>) -> Cow<'_, str> {
    match etag {
        Cow::Borrowed(etag) => unquote_etag(etag).into(),
        Cow::Owned(etag) => unquote_etag(&etag).to_owned().into(),
    }
}

/// Returns a URL-encoded key as it is: percent escapes and `+` resolved. What
/// is not a valid escape stays as it is.
///
/// The crate `percent_encoding` yields single bytes, which takes most of the
/// time of a page whose keys are not ASCII.
pub fn decode_key(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let pair = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = pair {
            decoded.push(high << 4 | low);
            rest = &after[2..];
        } else if *first == b'+' {
            decoded.push(b' ');
            rest = after;
        } else {
            let plain = 1 + memchr2(b'%', b'+', after).unwrap_or(after.len());
            decoded.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
        }
    }
    decoded
}

fn digit(hexadecimal: u8) -> Option<u8> {
    match hexadecimal {
        b'0'..=b'9' => Some(hexadecimal - b'0'),
        b'A'..=b'F' => Some(hexadecimal - b'A' + 10),
        b'a'..=b'f' => Some(hexadecimal - b'a' + 10),
        _ => None,
    }
}

/// Returns whether a time has S3's form, which is also that of records: RFC
/// 3339 in UTC with milliseconds. The ranges of the numbers are not checked.
pub fn is_timestamp(text: &[u8]) -> bool {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    // Compares all bytes: without an early exit the loop compiles to vector instructions.
    text.len() == FORM.len()
        && text.iter().zip(FORM).fold(true, |formed, (byte, form)| {
            formed & ((byte == form) | ((*form == b'0') & byte.is_ascii_digit()))
        })
}
