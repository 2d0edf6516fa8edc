//! Places in a key space: strings to start behind, which need not be keys.

/// The longest key that S3 has, in bytes.
const LONGEST: usize = 1024;

/// A place as near below `place` as a request can carry: no characters that
/// XML forbids, and no longer than a key may be.
pub fn sendable(place: &str) -> &str {
    let mut end = 0;
    for (at, char) in place.char_indices() {
        let past = at + char.len_utf8();
        let allowed = !char.is_control() && !matches!(char, '\u{fffe}' | '\u{ffff}');
        if !allowed || past > LONGEST {
            break;
        }
        end = past;
    }
    &place[..end]
}

/// Behind every key below the directory `dir`, which ends with a slash; the
/// empty directory has no end.
pub fn dir_end(dir: &str) -> Option<String> {
    let stem = dir.strip_suffix('/')?;
    Some(format!("{stem}0"))
}

/// Whether `place` stands before the end `end`.
pub fn is_before(place: &str, end: Option<&str>) -> bool {
    end.is_none_or(|end| place < end)
}

/// The length of the deepest directory that both places are in.
pub fn common_dir(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    a.as_bytes()[..same]
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1)
}
