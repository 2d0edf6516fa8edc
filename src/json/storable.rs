//! Values that JSON allows, but `PostgreSQL`'s jsonb or Unicode does not.

use super::text::Piece;
use super::{Number, Text, Value};

/// Where a value cannot be stored as jsonb, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {pointer:?}")]
pub struct Unstorable {
    /// JSON pointer (RFC 6901) to the value, or to the member with that name; U+FFFD for lone
    /// surrogates.
    pub pointer: String,
    /// Why it cannot be stored.
    pub reason: UnstorableReason,
}

/// Why a value cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnstorableReason {
    /// Half a surrogate pair, which is not Unicode
    #[error("a lone surrogate")]
    LoneSurrogate,
    /// NUL, which `PostgreSQL`'s text cannot hold
    #[error("a NUL character (\\u0000)")]
    Nul,
    /// A float that is infinite as a double, such as `1e400`
    #[error("a number beyond double range")]
    NotFinite,
    /// `NaN`, `Infinity` or `-Infinity`
    #[error("NaN or Infinity is no JSON number")]
    NoNumber,
    /// More digits than a numeric can have: 131072 before the point, 16383 after it
    #[error("a number with more digits than PostgreSQL can store")]
    TooLong,
}

impl Value<'_> {
    /// Returns the first place, in the order of the text, that jsonb cannot hold. What a later
    /// duplicate hides is not stored, and does not count.
    pub fn unstorable(&self) -> Option<Unstorable> {
        let mut path = Vec::new();
        let mut value = self;
        loop {
            let own = match value {
                Value::Null | Value::Bool(_) => None,
                Value::Number(number) => number_reason(*number),
                Value::String(text) => text_reason(*text),
                Value::Array(_) | Value::Object(_) => {
                    path.push((value, 0));
                    None
                }
            };
            let own = own.filter(|_| !is_hidden(&path));
            let name = || next(&mut path, &mut value);
            if let Some(reason) = own.or_else(name)
                && (own.is_some() || !is_hidden(&path))
            {
                let pointer = path.into_iter().map(step).collect();
                return Some(Unstorable { pointer, reason });
            }
            if path.is_empty() {
                return None;
            }
        }
    }
}

/// Returns whether a member on the path has a later duplicate.
fn is_hidden(path: &[Place<'_, '_>]) -> bool {
    path.iter().any(|(container, count)| match container {
        Value::Object(members) => (members.split_at_checked(*count))
            .and_then(|(before, later)| Some((before.last()?, later)))
            .is_some_and(|((name, _), later)| later.iter().any(|(other, _)| other == name)),
        _ => false,
    })
}

/// An array or object, and how many of its items or members have been checked.
type Place<'v, 'a> = (&'v Value<'a>, usize);

/// Returns the next value, or the reason why its name cannot be stored. No value is left when
/// the path is empty.
fn next<'v, 'a>(
    path: &mut Vec<Place<'v, 'a>>,
    value: &mut &'v Value<'a>,
) -> Option<UnstorableReason> {
    while let Some((container, count)) = path.last_mut() {
        let index = *count;
        *count += 1;
        match container {
            Value::Array(items) if index < items.len() => {
                *value = &items[index];
                return None;
            }
            Value::Object(members) if index < members.len() => {
                *value = &members[index].1;
                return text_reason(members[index].0);
            }
            _ => path.pop(),
        };
    }
    None
}

/// Returns one step of a JSON pointer: to the value checked last.
fn step((container, count): Place<'_, '_>) -> String {
    let index = count.saturating_sub(1);
    match container {
        Value::Object(members) => members.get(index).map_or_else(String::new, |(name, _)| {
            let name = name.to_string_lossy();
            format!("/{}", name.replace('~', "~0").replace('/', "~1"))
        }),
        _ => format!("/{index}"),
    }
}

#[inline]
fn text_reason(text: Text<'_>) -> Option<UnstorableReason> {
    if text.is_plain() {
        return None;
    }
    // A control character can only be in an escape.
    text.pieces().find_map(|piece| match piece {
        Piece::Lone(_) => Some(UnstorableReason::LoneSurrogate),
        Piece::Char('\0') => Some(UnstorableReason::Nul),
        Piece::Run(_) | Piece::Char(_) => None,
    })
}

fn number_reason(number: Number<'_>) -> Option<UnstorableReason> {
    let token = number.token();
    if number.constant().is_some() {
        return Some(UnstorableReason::NoNumber);
    }
    if number.is_integer() {
        let digits = token.trim_start_matches('-').len();
        return (digits > 131_072).then_some(UnstorableReason::TooLong);
    }
    if number.to_f64().is_infinite() {
        return Some(UnstorableReason::NotFinite);
    }
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let fraction = mantissa
        .split_once('.')
        .map_or(0, |(_, digits)| digits.len());
    // Only zero is finite with a large exponent, and it has no digits before the point
    let places = exponent.parse::<i64>().ok().and_then(|exponent| {
        let places = i64::try_from(fraction).ok()?.checked_sub(exponent)?;
        (exponent < i64::from(i32::MAX / 2)).then_some(places)
    });
    places
        .is_none_or(|places| places > 16_383)
        .then_some(UnstorableReason::TooLong)
}
