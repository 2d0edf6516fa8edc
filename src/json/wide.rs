//! Characters outside ASCII that are written as escapes.

use std::borrow::Cow;

use memchr::memchr;

use super::escape::parse_unit;

/// Returns a JSON text in which characters outside ASCII stand for themselves. Half a surrogate
/// pair stays an escape.
pub fn unescape_wide(text: &str) -> Cow<'_, str> {
    let mut unescaped = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(escape) = memchr(b'\\', &text.as_bytes()[at..]) {
        let start = at + escape;
        let Some((character, length)) = wide(&text.as_bytes()[start..]) else {
            // The character that is escaped may be a backslash.
            at = (start + 2).min(text.len());
            continue;
        };
        unescaped.push_str(&text[copied..start]);
        unescaped.push(character);
        at = start + length;
        copied = at;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    unescaped.push_str(&text[copied..]);
    Cow::Owned(unescaped)
}

/// Returns the character outside ASCII whose escape these bytes begin with, and its length.
fn wide(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |bytes: &[u8]| parse_unit(bytes.strip_prefix(b"\\u")?);
    let first = unit(bytes)?;
    let second = bytes.get(6..).and_then(unit);
    let mut characters = char::decode_utf16([first].into_iter().chain(second));
    let character = characters.next()?.ok()?;
    (!character.is_ascii()).then_some((character, 6 * character.len_utf16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_outside_ascii_are_unescaped() {
        let table = [
            (r#"{"a":"x"}"#, r#"{"a":"x"}"#),
            (r#""\u00e9\u0041\n\u20AC.""#, "\"é\\u0041\\n€.\""),
            (r#""\ud83d\ude00\ud83d\u00e9""#, "\"😀\\ud83dé\""),
            (r#""\\u00e9\\\u00e9""#, "\"\\\\u00e9\\\\é\""),
            (r#""\ude00\ud83d""#, r#""\ude00\ud83d""#),
        ];
        for (text, expected) in table {
            assert_eq!(unescape_wide(text), expected);
        }
    }
}
