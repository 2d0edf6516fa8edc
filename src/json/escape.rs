//! The digits of `\u` escapes.

/// Returns the number that the first four bytes are in hexadecimal, of either case.
pub(super) fn parse_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.first_chunk::<4>()?;
    digits.iter().try_fold(0, |sum: u16, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(sum << 4 | u16::try_from(value).ok()?)
    })
}
