//! A Parquet file whose pages are limited before they are decompressed: a page of a few hundred
//! kilobytes can have a value of many gigabytes.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::limits::PARQUET_PAGE;

/// Enough for the sizes at the start of a page's header.
const HEAD: usize = 64;
/// At the end of the file: a length, and `PAR1`.
const FOOTER: u64 = 8;

pub struct PagedFile(pub File);

impl Length for PagedFile {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for PagedFile {
    type T = BufReader<File>;

    /// Is called for the footer, and for each page, at its header.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        if start.saturating_add(FOOTER) < self.len() {
            let mut head = [0; HEAD];
            let read = self.0.read_at(&mut head, start)?;
            check(head.get(..read).unwrap_or_default())?;
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.saturating_add(length as u64);
        if end > self.len() {
            return Err(ParquetError::EOF("a part is missing".to_owned()));
        }
        self.0.get_bytes(start, length)
    }
}

/// Checks the sizes in the header of a page.
fn check(head: &[u8]) -> Result<()> {
    let Some(page) = Page::parse(head) else {
        return Ok(());
    };
    let larger =
        |what: &str, of: u64| Err(ParquetError::General(format!("a page has {of} {what}")));
    match page.values {
        _ if page.bytes > PARQUET_PAGE => {
            let limit = PARQUET_PAGE >> 20;
            larger(&format!("bytes, more than {limit} MiB"), page.bytes)
        }
        // Each value of a dictionary takes a byte.
        Some(values) if page.is_dictionary && values > page.bytes => {
            larger("values, more than bytes", values)
        }
        _ => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    is_dictionary: bool,
    /// Its length when it is decompressed.
    bytes: u64,
    values: Option<u64>,
}

impl Page {
    /// Reads the start of a header in the compact protocol of Thrift: its kind, its two lengths,
    /// maybe a checksum, and then a structure that begins with the number of values.
    fn parse(head: &[u8]) -> Option<Self> {
        const NUMBER: u8 = 5;
        const STRUCTURE: u8 = 12;
        let mut rest = head.iter().copied();
        let mut numbers = [0; 4];
        let mut field = 0;
        loop {
            let byte = rest.next()?;
            field += usize::from(byte >> 4);
            match byte & 15 {
                NUMBER => *numbers.get_mut(field.checked_sub(1)?)? = number(&mut rest)?,
                STRUCTURE => break,
                _ => return None,
            }
        }
        let [kind, bytes, _, _] = numbers;
        Some(Self {
            is_dictionary: kind == 2,
            bytes,
            values: match rest.next()? {
                0x15 => number(&mut rest),
                _ => None,
            },
        })
    }
}

/// Reads a number in zigzag; a negative one is too large.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(if value & 1 == 0 { value >> 1 } else { u64::MAX });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Page, check};

    #[test]
    fn the_sizes_of_a_page_are_read_before_it() {
        // A dictionary of 3 values in 20 bytes, 10 compressed.
        let head = [0x15, 4, 0x15, 40, 0x15, 20, 0x4c, 0x15, 6, 0x15, 0, 0, 0];
        let page = Page {
            is_dictionary: true,
            bytes: 20,
            values: Some(3),
        };
        assert_eq!(Page::parse(&head), Some(page));
        assert!(check(&head).is_ok());
        assert!(check(&[0x15, 4, 0x15, 40, 0x15, 20, 0x4c, 0x15, 60, 0]).is_err());
        let long = [
            0x15, 0, 0x15, 0x80, 0x80, 0x80, 0x80, 2, 0x15, 20, 0x2c, 0x15, 6,
        ];
        assert!(check(&long).is_err());
    }
}
