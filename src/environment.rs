//! Environment variables.

use std::sync::OnceLock;

static BLANK: OnceLock<Vec<String>> = OnceLock::new();

/// Unsets the variables of AWS that are blank: its own programs treat them as unset, but its SDK
/// would use a blank address. Must run before the first thread starts.
pub fn unset_blank() {
    let is_blank =
        |(name, value): &(String, String)| name.starts_with("AWS_") && value.trim().is_empty();
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let blank: Vec<String> = variables.filter(is_blank).map(|(name, _)| name).collect();
    for name in &blank {
        // SAFETY: no other thread reads the environment.
        #[expect(unsafe_code, reason = "the SDK has no other way to hide a variable")]
        unsafe {
            std::env::remove_var(name);
        }
    }
    BLANK.get_or_init(|| blank);
}

/// Returns the variables of AWS that were blank.
pub fn blank() -> &'static [String] {
    BLANK.get().map_or(&[], Vec::as_slice)
}

/// Returns a variable that is set and not empty, as it is: spaces may be part of a name.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns a variable that is set and not blank, without the space around it, as AWS's and other
/// programs read what is theirs too.
pub fn trimmed(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}
