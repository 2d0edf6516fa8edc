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

/// Returns whether a listing with `prefix` that starts after `position` starts beside its
/// directories, not inside one. Some servers lose keys after a start inside a directory.
pub fn is_flat(prefix: &str, position: &str) -> bool {
    let name = position.strip_prefix(prefix).unwrap_or_default();
    !name.contains('/')
}

/// Returns the directories below `prefix` that contain `position`, the outermost first.
pub fn dirs_of<'a>(prefix: &str, position: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    let start = if position.starts_with(prefix) {
        prefix.len()
    } else {
        position.len()
    };
    let slashes = position.as_bytes()[start..].iter().enumerate();
    slashes
        .filter(|&(_, &byte)| byte == b'/')
        .map(move |(at, _)| &position[..=start + at])
}

/// Returns the directory that contains the directory `dir`; `prefix` if none below it does.
pub fn parent_dir<'a>(prefix: &'a str, dir: &'a str) -> &'a str {
    dirs_of(prefix, dir).rev().nth(1).unwrap_or(prefix)
}

/// Returns a position beside the directories in `dir`, before the one that contains
/// `position`, or `position` itself if none does.
pub fn flat_before(dir: &str, position: &str) -> String {
    match dirs_of(dir, position).next() {
        // Siblings such as `60.0.1/` sort before `60.0/`; most need not be listed again.
        Some(child) if child.len() <= MAX_KEY_BYTES - 2 => {
            format!("{}.~", &child[..child.len() - 1])
        }
        Some(child) => child[..child.len() - 1].to_owned(),
        None => position.to_owned(),
    }
}
