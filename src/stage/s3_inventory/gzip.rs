//! Inflates gzip files of several members.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a gzip file.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads all members of a gzip file. Zeros may follow the last one, as after a copy in whole
/// blocks.
pub struct GzipMembers<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    pub fn new(from: R) -> Self {
        Self {
            member: Some(GzDecoder::new(from)),
        }
    }

    /// Skips zeros; returns whether another member follows.
    fn find_member(from: &mut R) -> io::Result<bool> {
        let mut is_padded = false;
        loop {
            let bytes = from.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                return if is_padded {
                    let what = "data follow the zeros after the last member";
                    Err(io::Error::other(what))
                } else {
                    Ok(true)
                };
            }
            is_padded = true;
            from.consume(zeros);
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(mut from) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            if Self::find_member(&mut from)? {
                self.member = Some(GzDecoder::new(from));
            }
        }
        Ok(0)
    }
}
