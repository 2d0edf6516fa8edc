//! Continuation tokens that are positions in disguise.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Returns whether a continuation token names `key`: the key itself, as Ceph's, or the key in
/// base64 and the state of the listing, as `MinIO`'s. The server may take it for a start.
pub fn names_key(token: &str, key: &str) -> bool {
    let Some(rest) = token.strip_prefix(key) else {
        let decoded = decode_base64(token);
        let rest = decoded
            .as_deref()
            .and_then(|text| text.strip_prefix(key.as_bytes()));
        return rest.is_some_and(|rest| matches!(rest, [] | [b'[', ..]));
    };
    rest.is_empty()
}

/// Decodes either alphabet, padded or not.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::names_key;

    #[test]
    fn a_token_names_a_key_plainly_or_in_base64() {
        let minio = "ZGRkL1ttaW5pb19jYWNoZTp2MixyZXR1cm46XQ==";
        assert!(names_key(minio, "ddd/"));
        assert!(!names_key(minio, "ddd"));
        assert!(!names_key(minio, "bbb/bbb"));
        assert!(names_key("a/b", "a/b") && names_key("YS9i", "a/b"));
        assert!(!names_key("a/b", "a") && !names_key("1000", "a/b") && !names_key("", "a"));
    }
}
