//! The process that a rebuild belongs to, and whether it is alive.

use std::fs;

use crate::error::{Error, Result};

/// Returns what names this process: the host since its boot, the process and its start.
pub fn own() -> Result<String> {
    let stat = read("/proc/self/stat")?;
    let id = stat.split(' ').next().unwrap_or_default();
    let start = started(&stat).unwrap_or_default();
    Ok(format!("{} {id} {start}", host()?))
}

/// Returns whether an owner may be at work. One of another host shows it by its heartbeat.
pub fn is_alive(owner: &str, is_stale: bool) -> Result<bool> {
    let process = owner.strip_prefix(&host()?);
    let Some((id, start)) = process.and_then(|process| process.trim_start().split_once(' ')) else {
        return Ok(!is_stale);
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    Ok(started(&stat) == Some(start))
}

/// A container has its own processes, so it counts as a host.
fn host() -> Result<String> {
    let name = read("/proc/sys/kernel/hostname")?;
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let processes = fs::read_link("/proc/self/ns/pid").map_err(Error::local("/proc/self/ns"))?;
    Ok(format!(
        "{} {} {}",
        name.trim(),
        boot.trim(),
        processes.display()
    ))
}

/// Returns the time at which a process started; its name, in brackets, may hold spaces.
fn started(stat: &str) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(')')?;
    // A zombie is dead.
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| !["Z", "X"].contains(&state))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(Error::local(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_others_are_judged_by_their_host() -> Result<()> {
        let own = own()?;
        assert!(is_alive(&own, true)?);
        assert!(!is_alive(&format!("{own}9"), false)?);
        for stale in [true, false] {
            assert_eq!(is_alive(&format!("other {own}"), stale)?, !stale);
        }
        Ok(())
    }
}
