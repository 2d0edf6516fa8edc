//! Panics: one of ours ends the process; one of a library, on data from outside, is an error
//! of that data.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which a library may panic in.
///
/// # Errors
/// The message of the panic.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CONTAINED.replace(true);
    // What the library has left half done is dropped.
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it is damaged").to_owned()
    })
}

/// Returns whether a panic of this thread would be contained.
pub fn are_contained() -> bool {
    IS_CONTAINED.get()
}
