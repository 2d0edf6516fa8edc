//! Servers whose listing cannot be relied on.

use buildhub_pipes::listing::{Continuation, Keys, Planner, Settings};
use buildhub_pipes::record::coverage::Interval;

fn planner() -> Planner {
    let settings = Settings {
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

/// What is said of the last of some pages.
fn said(pages: &[(&[&str], Continuation)]) -> String {
    let mut planner = planner();
    for (turn, (page, next)) in pages.iter().enumerate() {
        let (id, _) = planner.next().unwrap();
        let result = planner.page(id, &page.to_vec(), next.clone());
        if let Err(disorder) = result {
            assert_eq!(turn + 1, pages.len());
            return disorder.to_string();
        }
    }
    panic!("nothing is said");
}

const STUCK: &str = "no progress: the server's listing cannot be relied on: ";

#[test]
fn start_after_that_is_ignored() {
    let expected = format!(
        "{STUCK}asked for keys behind \"k\", got \"a\": it ignores start-after or the continuation token"
    );
    assert_eq!(said(&[(&["a", "z"], more("1"))]), expected);
    assert_eq!(said(&[(&["a", "l"], more("1"))]), expected);
    let again: (&[&str], Continuation) = (&["l", "m"], more("1"));
    assert_eq!(
        said(&[again.clone(), again]),
        format!(
            "{STUCK}asked for keys behind \"m\", got \"l\": it ignores start-after or the continuation token"
        )
    );
}

#[test]
fn keys_out_of_order() {
    // In UTF-16 the second would come first.
    let (low, high) = ("\u{e000}", "\u{1f600}");
    assert_eq!(
        said(&[(&["l", high, low], more("1"))]),
        format!(
            "{STUCK}asked for keys behind {high:?}, got {low:?}: its keys are not in byte order"
        )
    );
    assert!(said(&[(&["l", "l"], Continuation::End)]).ends_with("its keys are not in byte order"));
}

#[test]
fn pages_that_lead_nowhere() {
    assert_eq!(
        said(&[(&["l"], more("1")), (&[], more("1"))]),
        format!("{STUCK}the same continuation token comes again")
    );
    // In a circle.
    let empty = |token| -> (&[&str], Continuation) { (&[], more(token)) };
    for circle in [&["a", "b"][..], &["a", "b", "c", "d", "e"]] {
        let mut pages = vec![empty("x"), empty("y"), (&["l"][..], more("z"))];
        let turns = circle.iter().cycle().map(|token| empty(token));
        pages.extend(turns.take(if circle.len() == 2 { 4 } else { 13 }));
        assert_eq!(
            said(&pages),
            format!("{STUCK}the same continuation token comes again")
        );
    }
    assert_eq!(
        said(&[(&[], more(""))]),
        format!("{STUCK}a page is empty and truncated, and has no continuation token")
    );
}

#[test]
fn the_order_is_checked_by_whoever_read_the_page() {
    assert_eq!(vec!["a", "c", "b"].unordered(), Some(2));
    assert_eq!(vec!["a", "b"].unordered(), None);
}
