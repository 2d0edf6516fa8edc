//! Number tokens and their values.

/// A JSON number, or `NaN`, `Infinity` or `-Infinity`; its token is borrowed from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a> {
    token: &'a str,
    integer: bool,
}

impl<'a> Number<'a> {
    /// Wraps a token that the lexer has checked.
    #[inline]
    pub(super) fn new(token: &'a str, integer: bool) -> Self {
        Number { token, integer }
    }

    /// Returns the number as written.
    #[inline]
    pub fn token(&self) -> &'a str {
        self.token
    }

    /// Returns whether it has neither fraction nor exponent: an `int` to Python, otherwise a
    /// `float`.
    #[inline]
    pub fn is_integer(&self) -> bool {
        self.integer
    }

    /// Returns the nearest double; infinite beyond the range of doubles, NaN for `NaN`.
    pub fn to_f64(self) -> f64 {
        // `FromStr` accepts all numbers of JSON and the three names of CPython
        self.token.parse().unwrap_or(f64::NAN)
    }

    /// Returns why it is not JSON, if it is one of the three names that only some readers accept.
    pub(super) fn constant(&self) -> Option<&'static str> {
        match self.token {
            "NaN" => Some("NaN is not JSON"),
            "Infinity" => Some("Infinity is not JSON"),
            "-Infinity" => Some("-Infinity is not JSON"),
            _ => None,
        }
    }

    /// Converts it for `serde_json`, which has 64-bit integers and finite doubles: a larger integer
    /// becomes the nearest double, which has no fraction either; infinity and NaN become 0.5 or
    /// -0.5, which are finite and not integers.
    pub(crate) fn to_serde(self) -> serde_json::Number {
        if self.integer {
            if let Ok(number) = self.token.parse::<i64>() {
                return number.into();
            }
            if let Ok(number) = self.token.parse::<u64>() {
                return number.into();
            }
        }
        let double = self.to_f64();
        let double = match double.is_finite() {
            true => double,
            false if self.integer => f64::MAX.copysign(double),
            false if double.is_nan() => 0.5,
            false => 0.5_f64.copysign(double),
        };
        serde_json::Number::from_f64(double).unwrap_or_else(|| 0.into())
    }

    /// Writes it as `json.dumps` does: the digits of an integer, the `repr` of a float.
    pub(super) fn write_canonical(self, out: &mut Vec<u8>) {
        match self.token {
            "-0" => out.push(b'0'),
            token if self.integer => out.extend_from_slice(token.as_bytes()),
            _ => write_float(self.to_f64(), out),
        }
    }
}

/// Writes `CPython`'s `repr`: the digits of ryu, with an exponent below 1e-4 and from 1e16.
fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        let name: &[u8] = if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        return out.extend_from_slice(name);
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    if let Some((mantissa, exponent)) = text.split_once('e') {
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        write_exponent(mantissa, sign, digits, out);
    } else if value == 0.0 || value.abs() >= 1e-4 {
        out.extend_from_slice(text.as_bytes());
    } else {
        // Ryu uses an exponent one digit later: 0.0000123
        let text = text.strip_prefix('-').unwrap_or(text);
        let (first, rest) = text.trim_start_matches(['0', '.']).split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if value < 0.0 { "-" } else { "" };
        write_exponent(&format!("{sign}{first}{point}{rest}"), '-', "5", out);
    }
}

fn write_exponent(mantissa: &str, sign: char, digits: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(mantissa.as_bytes());
    out.extend_from_slice(&[b'e', if sign == '-' { b'-' } else { b'+' }]);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}
