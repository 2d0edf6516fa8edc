//! Recognizes files that are not CSV by their first bytes.

/// The offset of a format's first bytes, these bytes, and its name.
const FORMATS: &[(usize, &[u8], &str)] = &[
    (0, b"ORC", "ORC"),
    (0, b"PAR1", "Parquet"),
    (0, b"Obj\x01", "Avro"),
    (0, b"\x1f\x8b", "something compressed by gzip"),
    (0, b"\x28\xb5\x2f\xfd", "something compressed by zstd"),
    (0, b"\xfd7zXZ\0", "something compressed by xz"),
    (0, b"BZh", "something compressed by bzip2"),
    (0, b"\x04\x22\x4d\x18", "something compressed by lz4"),
    (0, b"\xff\x06\0\0sNaPpY", "something compressed by snappy"),
    (0, b"\x1f\x9d", "something compressed by compress"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\xff\xfe", "text in UTF-16"),
    (0, b"\xfe\xff", "text in UTF-16"),
    (0, b"\xef\xbb\xbf", "text behind a byte order mark"),
    (0, b"<", "XML or HTML"),
    (0, b"{", "JSON"),
    (0, b"[", "JSON"),
];

/// How many bytes are searched for a zero byte, which no text has.
const HEAD: usize = 4096;

/// Returns the format of a file that begins with `head`; `None` if it may be CSV.
pub fn foreign(head: &[u8]) -> Option<&'static str> {
    let head = head.trim_ascii_start();
    let is = |(at, magic, _): &&(usize, &[u8], &str)| {
        head.get(*at..).is_some_and(|head| head.starts_with(magic))
    };
    match FORMATS.iter().find(is) {
        Some((_, _, name)) => Some(name),
        None => head[..head.len().min(HEAD)]
            .contains(&0)
            .then_some("binary data"),
    }
}
