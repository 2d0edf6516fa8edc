//! A scanner for the part of XML that S3 writes: elements and text; it skips comments and
//! processing instructions.

use memchr::{memchr, memmem};

use super::PageError;

/// A position in a document.
pub struct Scanner<'a> {
    /// The bytes not read yet.
    rest: &'a [u8],
}

/// The tag at a position.
pub enum Tag<'a> {
    Open(&'a [u8]),
    /// `<Name/>`
    Empty(&'a [u8]),
    Close,
}

impl<'a> Scanner<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Returns how many bytes are not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Returns the name of the root element.
    pub fn root(&mut self) -> Result<&'a [u8], PageError> {
        match self.tag()? {
            Tag::Open(name) => Ok(name),
            Tag::Empty(_) | Tag::Close => Err(PageError::NotAListing),
        }
    }

    /// Returns the next tag, and skips the text before it.
    pub fn tag(&mut self) -> Result<Tag<'a>, PageError> {
        loop {
            // Elements mostly follow each other without a gap.
            let start = match self.rest {
                [b'<', ..] => 1,
                rest => memchr(b'<', rest).ok_or(PageError::Incomplete)? + 1,
            };
            let rest = &self.rest[start..];
            let (ending, skipped): (&[u8], usize) = match rest {
                [b'?', ..] => (b"?>", 2),
                [b'!', b'-', b'-', ..] => (b"-->", 3),
                _ => {
                    let ends = |byte: &u8| *byte == b'>' || byte.is_ascii_whitespace();
                    let name = rest.iter().position(ends).ok_or(PageError::Incomplete)?;
                    // Attributes follow after a space.
                    let end = match rest[name] {
                        b'>' => name,
                        _ => name + memchr(b'>', &rest[name..]).ok_or(PageError::Incomplete)?,
                    };
                    self.rest = &rest[end + 1..];
                    return Ok(match rest[..end] {
                        [b'/', ..] => Tag::Close,
                        [.., b'/'] => {
                            Tag::Empty(rest[..name].strip_suffix(b"/").unwrap_or(&rest[..name]))
                        }
                        _ => Tag::Open(&rest[..name]),
                    });
                }
            };
            let end = memmem::find(rest, ending).ok_or(PageError::Incomplete)?;
            self.rest = &rest[end + skipped..];
        }
    }

    /// Skips `text` if it comes next, and returns whether it did.
    #[inline]
    pub fn passed(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Returns the text of the next element if that is `name` and contains only text. With
    /// a constant name this takes a few word comparisons.
    #[inline]
    pub fn element(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        let text = self.rest.strip_prefix(b"<")?.strip_prefix(name)?;
        let text = text.strip_prefix(b">")?;
        let (text, close) = text.split_at(memchr(b'<', text)?);
        let close = close.strip_prefix(b"</")?.strip_prefix(name)?;
        self.rest = close.strip_prefix(b">")?;
        Some(text)
    }

    /// Returns the text of the element `name` that was just opened, and skips its end.
    pub fn text(&mut self, name: &[u8]) -> Result<&'a [u8], PageError> {
        let end = memchr(b'<', self.rest).ok_or(PageError::Incomplete)?;
        let text = &self.rest[..end];
        match self.rest.get(end + 1) {
            Some(b'/') => {}
            None => return Err(PageError::Incomplete),
            Some(_) => {
                let what = "the server lists an element where text is expected";
                return Err(PageError::Invalid(what.to_owned()));
            }
        }
        let after = &self.rest[end..];
        let close = match after.get(name.len() + 2) {
            Some(b'>') => name.len() + 2,
            _ => memchr(b'>', after).ok_or(PageError::Incomplete)?,
        };
        self.rest = &after[close + 1..];
        Ok(text)
    }

    /// Skips to the end of the element that was just opened.
    pub fn skip(&mut self) -> Result<(), PageError> {
        let mut depth = 1;
        while depth > 0 {
            match self.tag()? {
                Tag::Open(_) => depth += 1,
                Tag::Close => depth -= 1,
                Tag::Empty(_) => {}
            }
        }
        Ok(())
    }
}
