//! Continuation tokens that are positions in disguise.

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

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut decoded, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((buffer >> bits & 0xff) as u8);
        }
    }
    Some(decoded)
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
