//! Servers whose listing cannot be relied on.

use std::collections::VecDeque;

use buildhub_pipes::listing::{Continuation, ListingOptions, Planner, Request, ResponseKeys};
use buildhub_pipes::record::coverage::Interval;

/// A planner that has listed the key k.
fn planner() -> Planner {
    let settings = ListingOptions {
        prefix: String::new(),
        page_size: 3,
        connections: 1,
    };
    let mut planner = Planner::new(settings, vec![Interval::new(None, None)], &[]);
    let (id, _) = planner.next_request().unwrap();
    planner.page(id, &["k"][..].to_vec(), more("0")).unwrap();
    planner
}

fn more(token: &str) -> Continuation {
    Continuation::More((!token.is_empty()).then(|| token.to_owned()))
}

/// The error that the last of some pages causes.
fn error_of(pages: &[(&[&str], Continuation)]) -> String {
    let mut planner = planner();
    for (turn, (page, next)) in pages.iter().enumerate() {
        let (id, _) = planner.next_request().unwrap();
        let result = planner.page(id, &page.to_vec(), next.clone());
        if let Err(error) = result {
            assert_eq!(turn + 1, pages.len());
            return error.to_string();
        }
    }
    panic!("no error");
}

const STUCK: &str = "the server's listing is inconsistent and makes no progress: ";

#[test]
fn ignored_start_after_is_reported() {
    let expected = format!(
        "{STUCK}asked for keys after \"k\", got \"a\": it ignores start-after or the continuation token"
    );
    assert_eq!(error_of(&[(&["a", "z"], more("1"))]), expected);
    assert_eq!(error_of(&[(&["a", "l"], more("1"))]), expected);
    let again: (&[&str], Continuation) = (&["l", "m"], more("1"));
    assert_eq!(
        error_of(&[again.clone(), again]),
        format!(
            "{STUCK}asked for keys after \"m\", got \"l\": it ignores start-after or the continuation token"
        )
    );
}

#[test]
fn keys_out_of_order_are_reported() {
    // In UTF-16 the second would come first.
    let (low, high) = ("\u{e000}", "\u{1f600}");
    assert_eq!(
        error_of(&[(&["l", high, low], more("1"))]),
        format!(
            "{STUCK}asked for keys after {high:?}, got {low:?}: its keys are not in byte order"
        )
    );
    assert!(
        error_of(&[(&["l", "l"], Continuation::End)]).ends_with("its keys are not in byte order")
    );
}

#[test]
fn pages_without_progress_are_reported() {
    assert_eq!(
        error_of(&[(&["l"], more("1")), (&[], more("1"))]),
        format!("{STUCK}the same continuation token comes again")
    );
    // In a circle.
    let empty = |token| -> (&[&str], Continuation) { (&[], more(token)) };
    for circle in [&["a", "b"][..], &["a", "b", "c", "d", "e"]] {
        let mut pages = vec![empty("x"), empty("y"), (&["l"][..], more("z"))];
        let turns = circle.iter().cycle().map(|token| empty(token));
        pages.extend(turns.take(if circle.len() == 2 { 4 } else { 13 }));
        assert_eq!(
            error_of(&pages),
            format!("{STUCK}the same continuation token comes again")
        );
    }
    assert_eq!(
        error_of(&[(&[], more(""))]),
        format!("{STUCK}a page is empty and truncated, and has no continuation token")
    );
}

#[test]
fn unordered_keys_are_found() {
    assert_eq!(vec!["a", "c", "b"].unordered(), Some(2));
    assert_eq!(vec!["a", "b"].unordered(), None);
}

/// Lists the folders d0/ to d5/, of four keys each, as `page` changes each page of a prefix.
/// The keys that were listed, or the error.
fn list_folders(
    ghost: Option<&str>,
    page: impl Fn(&str, &mut Vec<String>, &mut Continuation),
) -> Result<Vec<String>, String> {
    let keys: Vec<String> = (0..24).map(|n| format!("d{}/{}", n / 4, n % 4)).collect();
    let options = ListingOptions {
        prefix: String::new(),
        page_size: 3,
        connections: 4,
    };
    let mut planner = Planner::new(options, vec![Interval::new(None, None)], &[]);
    let (mut flight, mut listed) = (VecDeque::new(), Vec::new());
    for turn in 0.. {
        if planner.is_done() {
            break;
        }
        assert!(turn < 1000, "it does not end");
        while flight.len() < 4
            && let Some(request) = planner.next_request()
        {
            flight.push_back(request);
        }
        // Probes come first.
        let probe = |(_, request): &(_, Request)| matches!(request, Request::Children { .. });
        let at = flight.iter().position(probe).unwrap_or_default();
        match flight.remove(at).unwrap() {
            (
                id,
                Request::Page {
                    prefix,
                    after,
                    token,
                },
            ) => {
                let after = token.or(after).unwrap_or_default();
                let rest = keys
                    .iter()
                    .filter(|key| key.starts_with(&prefix) && **key > after);
                let mut keys: Vec<String> = rest.take(4).cloned().collect();
                let mut next = Continuation::End;
                if keys.len() == 4 {
                    keys.pop();
                    next = Continuation::More(keys.last().cloned());
                }
                page(&prefix, &mut keys, &mut next);
                let accepted = planner.page(id, &keys, next);
                let accepted = accepted.map_err(|error| error.to_string())?;
                listed.extend_from_slice(&keys[accepted.keys]);
            }
            (id, Request::Children { prefix, after }) => {
                let after = after.unwrap_or_default();
                let rest = keys.iter().map(String::as_str).chain(ghost);
                let rest = rest.filter(|key| key.starts_with(&prefix) && **key > *after);
                let rest: Vec<&str> = rest.collect();
                let dir = |key: &&str| {
                    key[prefix.len()..]
                        .find('/')
                        .map(|at| key[..=prefix.len() + at].to_owned())
                };
                let mut names: Vec<String> = rest.iter().filter_map(dir).collect();
                names.sort_unstable();
                names.dedup();
                let plain: Vec<&str> = rest.into_iter().filter(|key| dir(key).is_none()).collect();
                planner
                    .children(id, &names, &plain, Continuation::End)
                    .unwrap();
            }
        }
    }
    listed.sort_unstable();
    Ok(listed)
}

#[test]
fn folders_that_are_there_are_not_left_out() {
    let all = list_folders(None, |_, _, _| {});
    assert_eq!(all.as_ref().map(Vec::len), Ok(24));
    // A folder without keys is none.
    assert_eq!(list_folders(Some("d3./ghost"), |_, _, _| {}), all);
    let hides = |prefix: &str, keys: &mut Vec<String>, _: &mut Continuation| {
        if prefix != "d3/" {
            keys.retain(|key| !key.starts_with("d3/"));
        }
    };
    let error = list_folders(None, hides).unwrap_err();
    assert!(
        error.contains("without \"d3/\", which it lists when asked for that prefix"),
        "{error}"
    );
}

#[test]
fn an_end_before_a_known_folder_is_not_believed() {
    let ends = |prefix: &str, keys: &mut Vec<String>, next: &mut Continuation| {
        let known = |key: &String| **key >= *"d2" && **key < *"d4";
        if prefix.is_empty() && keys.first().is_some_and(known) {
            *next = Continuation::End;
        }
    };
    let error = list_folders(None, ends).unwrap_err();
    assert!(
        error.contains("which it lists when asked for that prefix"),
        "{error}"
    );
}
