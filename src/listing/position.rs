//! Positions in a key space: strings to list after, which need not be keys.

/// The longest key that S3 accepts, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// Returns the longest prefix of `position` that a request can carry: no characters that XML
/// forbids, and no longer than a key.
pub fn sendable(position: &str) -> &str {
    let mut end = 0;
    for (at, char) in position.char_indices() {
        let past = at + char.len_utf8();
        let allowed = !char.is_control() && !matches!(char, '\u{fffe}' | '\u{ffff}');
        if !allowed || past > MAX_KEY_BYTES {
            break;
        }
        end = past;
    }
    &position[..end]
}

/// Returns a position after all keys below `dir`, which ends with a slash; `None` for the
/// root.
pub fn dir_end(dir: &str) -> Option<String> {
    let stem = dir.strip_suffix('/')?;
    Some(format!("{stem}0"))
}

/// Returns whether `position` comes before the `end`, if there is one.
pub fn is_before(position: &str, end: Option<&str>) -> bool {
    end.is_none_or(|end| position < end)
}

/// Returns the length of the deepest directory that contains both positions.
pub fn common_dir(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    a.as_bytes()[..same]
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1)
}
