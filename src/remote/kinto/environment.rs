//! The variables for Kinto: `KINTO_BUCKET` and its like, and the short names of Buildhub's
//! first jobs, which other programs may set for something else.

use super::KintoArgs;
use crate::environment::variable;
use crate::log::Log;

/// Returns what the short name holds, for a flag whose variable is the long one.
pub fn short(name: &str, default: &str) -> String {
    variable(name).unwrap_or_else(|| default.to_owned())
}

/// Returns what the variable `KINTO_{name}` holds, else the short one.
pub fn either(name: &str) -> Option<String> {
    variable(&format!("KINTO_{name}")).or_else(|| variable(name))
}

/// Warns of short names that are used.
pub fn warn_of_short(args: &KintoArgs, log: &Log) {
    let is_used = |name: &str| match name {
        "SERVER_URL" => args.server.is_none(),
        "BUCKET" => variable(name).as_ref() == Some(&args.bucket),
        "COLLECTION" => variable(name).as_ref() == Some(&args.collection),
        _ => args.auth_file.is_none(),
    };
    for name in ["SERVER_URL", "BUCKET", "COLLECTION", "AUTH"] {
        let is_short = variable(&format!("KINTO_{name}")).is_none() && variable(name).is_some();
        if is_short && is_used(name) {
            log.warn(format!(
                "{name} of the environment is used; call it KINTO_{name}, as other programs may \
                 set {name} too"
            ));
        }
    }
}
