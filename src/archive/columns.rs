//! The columns of an inventory that a record copies.

/// Parses a size of an inventory, a decimal number with an optional exponent,
/// into whole bytes.
#[must_use]
pub fn size(text: &str) -> Option<String> {
    let text = text.trim();
    // Python allows an underscore between two digits.
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let mut underscores = memchr::memchr_iter(b'_', bytes);
    if !underscores.all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1))) {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    number
        .is_finite()
        .then(|| format!("{:.0}", number.trunc() + 0.0))
}
