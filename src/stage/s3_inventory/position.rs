//! Positions in an inventory, in marks and in the resume file: the number of a file and of a
//! line in it, padded with zeros, so that they sort as text.

use crate::error::{Error, Result};
use crate::record::coverage::{Coverage, Interval};

/// Returns the position after `line` of `file`; files are counted from 0, lines from 1 (0 is
/// the start). `None` is the start of the inventory.
pub fn after(file: usize, line: u64) -> Option<String> {
    match (file, line) {
        (0, 0) => None,
        (file, 0) => Some(format!("{file:06}")),
        (file, line) => Some(format!("{file:06}.{line:012}")),
    }
}

/// Returns the end of `file`, which is the start of the next one; `None` is the end of the
/// inventory.
pub fn end(file: usize, files: usize) -> Option<String> {
    (file + 1 < files).then(|| format!("{:06}", file + 1))
}

/// Parses a position in an inventory of `files` files, as [`after`] writes it.
fn parse(position: &str, files: usize) -> Option<(usize, u64)> {
    let (file, line) = position.split_once('.').unwrap_or((position, "0"));
    let (file, line) = (file.parse().ok()?, line.parse().ok()?);
    let written = after(file, line)?;
    (written == position && file < files).then_some((file, line))
}

/// Returns for each file the lines that `done` does not cover, as (after, through).
///
/// # Errors
/// A bound is not a position in these files (78).
pub fn gaps(done: &Coverage, files: usize) -> Result<Vec<Vec<(u64, u64)>>> {
    let mut gaps = vec![Vec::new(); files];
    let bound = |bound: Option<&String>, open| match bound {
        None => Ok(open),
        Some(text) => parse(text, files).ok_or_else(|| {
            Error::configuration(format!(
                "the state is damaged: {text:?} is not a position in {files} files; delete the \
                 resume file to start over"
            ))
        }),
    };
    for gap in done.gaps(&Interval::new(None, None)) {
        let first = bound(gap.after.as_ref(), (0, 0))?;
        let last = bound(gap.through.as_ref(), (files, 0))?;
        for (file, gaps) in gaps.iter_mut().enumerate() {
            let after = match first.0 {
                before if before < file => 0,
                same if same == file => first.1,
                _ => continue,
            };
            let through = if last.0 == file { last.1 } else { u64::MAX };
            if file <= last.0 && after < through {
                gaps.push((after, through));
            }
        }
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_converted_to_lines_of_files() {
        let all = (0, u64::MAX);
        let gaps = |done: &Coverage, files| gaps(done, files).unwrap();
        let mut done = Coverage::default();
        assert_eq!(gaps(&done, 3), [[all], [all], [all]]);
        done.insert(Interval::new(None, end(0, 3)));
        done.insert(Interval::new(after(2, 10), after(2, 20)));
        assert_eq!(
            gaps(&done, 3),
            [vec![], vec![all], vec![(0, 10), (20, u64::MAX)]]
        );
        done.insert(Interval::new(after(1, 0), after(1, 7)));
        done.insert(Interval::new(after(2, 10), end(2, 3)));
        assert_eq!(gaps(&done, 3), [vec![], vec![(7, u64::MAX)], vec![(0, 10)]]);
        done.insert(Interval::new(None, None));
        assert_eq!(gaps(&done, 3), [vec![], vec![], vec![]]);
    }

    #[test]
    fn a_bound_that_is_no_position_is_refused() {
        for text in [
            "",
            "x",
            "1",
            "000003",
            "000001.5",
            "000001.",
            "000000.000000000000",
        ] {
            let mut done = Coverage::default();
            done.insert(Interval::new(None, Some(text.to_owned())));
            assert!(gaps(&done, 3).is_err(), "{text:?}");
        }
    }
}
