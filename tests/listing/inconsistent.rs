//! Servers whose listing cannot be relied on.

use buildhub_pipes::listing::{Continuation, ListingOptions, Planner, ResponseKeys};
use buildhub_pipes::record::coverage::Interval;

fn planner() -> Planner {
    let settings = ListingOptions {
        prefix: String::new(),
        page_size: 3,
        connections: 1,
    };
    let gap = Interval::new(Some("k".to_owned()), None);
    Planner::new(settings, vec![gap], &[])
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

const STUCK: &str = "no progress: the server's listing cannot be relied on: ";

#[test]
fn ignored_start_after_is_reported() {
    let expected = format!(
        "{STUCK}asked for keys behind \"k\", got \"a\": it ignores start-after or the continuation token"
    );
    assert_eq!(error_of(&[(&["a", "z"], more("1"))]), expected);
    assert_eq!(error_of(&[(&["a", "l"], more("1"))]), expected);
    let again: (&[&str], Continuation) = (&["l", "m"], more("1"));
    assert_eq!(
        error_of(&[again.clone(), again]),
        format!(
            "{STUCK}asked for keys behind \"m\", got \"l\": it ignores start-after or the continuation token"
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
            "{STUCK}asked for keys behind {high:?}, got {low:?}: its keys are not in byte order"
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
