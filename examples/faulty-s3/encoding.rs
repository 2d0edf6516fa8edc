//! How keys are written: percent-encoded, escaped for XML, hexadecimal.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// What each byte becomes in an address.
static ESCAPES: LazyLock<[String; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| match u8::try_from(byte).unwrap_or_default() {
        b' ' => "+".to_owned(),
        plain if is_plain_byte(plain) => char::from(plain).to_string(),
        other => format!("%{other:02X}"),
    })
});
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Which neither form of a listing changes.
fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'*')
}

/// Looks at every byte, which takes less time than to stop at the first that is not plain.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .fold(true, |plain, byte| plain & is_plain_byte(byte))
}

/// As S3 does it for `encoding-type=url`: a space is `+`, `/` stays.
pub fn push_url(to: &mut String, text: &str) {
    if is_plain(text) {
        return to.push_str(text);
    }
    to.extend(text.bytes().map(|byte| ESCAPES[usize::from(byte)].as_str()));
}

/// Writes keys that follow each other: a folder that they have in common is encoded once.
#[derive(Default)]
pub struct UrlEncoder {
    folder: String,
    encoded: String,
}

impl UrlEncoder {
    pub fn push(&mut self, to: &mut String, (folder, name): (&str, &str)) {
        if folder != self.folder {
            folder.clone_into(&mut self.folder);
            self.encoded.clear();
            push_url(&mut self.encoded, folder);
        }
        to.push_str(&self.encoded);
        push_url(to, name);
    }
}

/// Control characters become references, as S3 writes them, though XML 1.0 allows few of them.
pub fn push_xml(to: &mut String, text: &str) {
    if is_plain(text) {
        return to.push_str(text);
    }
    for character in text.chars() {
        match character {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            control if control.is_ascii_control() => {
                let _ = write!(to, "&#x{:x};", u32::from(control));
            }
            other => to.push(other),
        }
    }
}

/// `%XX` decoded; none if that is no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(byte_of_hex(&[*high, *low])?);
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

pub fn push_hex(to: &mut String, bytes: &[u8]) {
    let digit = |value: u8| DIGITS[usize::from(value)];
    for eight in bytes.chunks(8) {
        let mut digits = [0; 16];
        for (two, byte) in digits.chunks_mut(2).zip(eight) {
            two.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        to.push_str(str::from_utf8(&digits[..2 * eight.len()]).unwrap_or_default());
    }
}

pub fn text_of_hex(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2);
    String::from_utf8(pairs.map(byte_of_hex).collect::<Option<_>>()?).ok()
}

fn byte_of_hex(pair: &[u8]) -> Option<u8> {
    match pair {
        [b'+', _] => None,
        [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    }
}
