//! Recognizes files that are neither CSV nor lines of JSON by their first bytes.

/// A format that is recognized by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A name with its article, if it has one.
    Other(&'static str),
    /// Compressed by this program, and unpacked by that one.
    Compressed(&'static str, &'static str),
    /// Lines, but of something else than CSV.
    Json,
    Markup,
}

use FileFormat::{Compressed, Json, Markup, Other};

/// The offset of a format's first bytes, these bytes, and the format.
const FORMATS: &[(usize, &[u8], FileFormat)] = &[
    (0, b"ORC", Other("ORC")),
    (0, b"PAR1", Other("Parquet")),
    (0, b"Obj\x01", Other("Avro")),
    (0, b"\x1f\x8b", Compressed("gzip", "zcat")),
    (0, b"\x28\xb5\x2f\xfd", Compressed("zstd", "zstdcat")),
    (0, b"\xfd7zXZ\0", Compressed("xz", "xzcat")),
    (0, b"BZh", Compressed("bzip2", "bzcat")),
    (0, b"\x04\x22\x4d\x18", Compressed("lz4", "lz4cat")),
    (0, b"\xff\x06\0\0sNaPpY", Compressed("snappy", "snzip -dc")),
    (0, b"\x1f\x9d", Compressed("compress", "zcat")),
    (0, b"PK\x03\x04", Other("a zip archive")),
    (0, b"PK\x05\x06", Other("an empty zip archive")),
    (0, b"7z\xbc\xaf\x27\x1c", Other("a 7z archive")),
    (0, b"\xff\xfe", Other("text in UTF-16")),
    (0, b"\xfe\xff", Other("text in UTF-16")),
    (0, b"\xef\xbb\xbf", Other("text behind a byte order mark")),
    (0, b"<", Markup),
    (0, b"{", Json),
    (0, b"[", Json),
    // Last, as text of any format may have this word there.
    (257, b"ustar", Other("a tar archive")),
];

/// How many bytes are searched for a zero byte, which no text has.
const HEAD: usize = 4096;

/// Returns the format of a file that begins with `head`, if the first bytes tell it.
pub fn by_first_bytes(head: &[u8]) -> Option<FileFormat> {
    let is = |(at, magic, _): &&(usize, &[u8], FileFormat)| {
        head.get(*at..).is_some_and(|head| head.starts_with(magic))
    };
    FORMATS.iter().find(is).map(|(.., format)| *format)
}

/// Returns the format of a file that begins with `head`; `None` if it may be CSV.
pub fn foreign(head: &[u8]) -> Option<FileFormat> {
    let head = head.trim_ascii_start();
    by_first_bytes(head).or_else(|| {
        head[..head.len().min(HEAD)]
            .contains(&0)
            .then_some(Other("binary data"))
    })
}

/// Returns the format of a file that begins with `head`; `None` if it may be lines of JSON,
/// or of something that a person may read.
pub fn unreadable(head: &[u8]) -> Option<FileFormat> {
    match by_first_bytes(head)? {
        // Our own programs skip it where they may.
        Other("text behind a byte order mark") | Json | Markup => None,
        format => Some(format),
    }
}

impl std::fmt::Display for FileFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Other(name) => f.write_str(name),
            Compressed(program, _) => write!(f, "something compressed by {program}"),
            Json => f.write_str("JSON"),
            Markup => f.write_str("XML or HTML"),
        }
    }
}
