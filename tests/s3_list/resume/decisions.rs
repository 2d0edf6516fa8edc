//! Where a resumed run starts.

use super::{Loaded, Part, Place, State, part, write};
use crate::s3_list::{numbered, server_of};

/// A run over keys 0 to 9 that has listed through key 4. Columns: its state;
/// the file of the loader, with the run and its coverage (`:2` is all through
/// key 2); --checkpoint; the keys that are listed then; and the message.
const CASES: &str = "
half     |            |        | 5 6 7 8 9           | resumes after what was listed
gaps     |            |        | 5 6 8 9             | resumes after what was listed
half     | same :2    |        | 3 4 5 6 7 8 9       | resumes after what the loader has confirmed
half     | same :1 3:5|        | 2 3 6 7 8 9         | resumes after what the loader has confirmed
half     | same :     |        |                     | resumes after what the loader has confirmed
half     | another :2 |        | 0 1 2 3 4 5 6 7 8 9 | restarts
half     | none       |        | 0 1 2 3 4 5 6 7 8 9 | restarts
broken   |            |        | 0 1 2 3 4 5 6 7 8 9 | restarts: its output was closed early
broken   | same :2    |        | 3 4 5 6 7 8 9       | resumes after what the loader has confirmed
untouched|            |        | 0 1 2 3 4 5 6 7 8 9 | restarts: nothing was listed
half     | same :2    | listed | 5 6 7 8 9           | resumes after what was listed, as requested
broken   |            | listed | 5 6 7 8 9           | resumes after what was listed, as requested
half     |            | loaded | 0 1 2 3 4 5 6 7 8 9 | restarts: no loader
half     | same :2    | loaded | 3 4 5 6 7 8 9       | resumes after what the loader has confirmed
finished |            |        | 0 1 2 3 4 5 6 7 8 9 | is finished: starting a new run
finished | same :     |        | 0 1 2 3 4 5 6 7 8 9 | is finished: starting a new run
finished | same :2    |        | 3 4 5 6 7 8 9       | is listed completely, with 1 range not yet stored; listing the missing part again
finished | another :2 |        | 0 1 2 3 4 5 6 7 8 9 | is listed completely, with 1 range not yet stored; listing the missing part again
finished | same :2    | listed | 0 1 2 3 4 5 6 7 8 9 | is finished: starting a new run
closed   | same :2    |        | 0 1 2 3 4 5 6 7 8 9 | is closed with 1 range that could not be stored: starting a new run
closed   | another :2 |        | 0 1 2 3 4 5 6 7 8 9 | is closed with 1 range that could not be stored: starting a new run
finished |            | listed | 0 1 2 3 4 5 6 7 8 9 | is finished: starting a new run
";

fn change(state: &mut State, how: &str) {
    match how {
        "half" => {}
        "gaps" => state.coverage.push(part(("k00006", "k00007"))),
        "broken" => state.broken_pipe = true,
        "untouched" => state.coverage.clear(),
        "finished" => {
            state.finished = true;
            state.coverage = vec![part(("", ""))];
        }
        "closed" => {
            change(state, "finished");
            state.closed = true;
        }
        other => panic!("{other}"),
    }
}

fn loaded(of: &str, run: &str) -> Option<Loaded> {
    let mut words = of.split_whitespace();
    let run = match words.next()? {
        "same" => Some(run.to_owned()),
        "none" => None,
        other => Some(other.to_owned()),
    };
    let bound = |at: &str| {
        at.parse()
            .map_or(String::new(), |at: u32| format!("k{at:05}"))
    };
    let parts = words.map(|word| -> Part {
        let (after, through) = word.split_once(':').unwrap();
        part((&bound(after), &bound(through)))
    });
    Some(Loaded {
        format: 1,
        run,
        coverage: parts.collect(),
    })
}

#[test]
fn resume_lists_exactly_what_may_be_lost() {
    let keys = numbered(10);
    let server = server_of(&keys, &[]);
    for case in CASES.trim().lines() {
        let columns: Vec<&str> = case.split('|').map(str::trim).collect();
        let [how, kept, asked, listed, why] = columns[..] else {
            panic!("{case}")
        };
        let place = Place::new();
        let before = place.half(&server, |state| change(state, how));
        if let Some(loaded) = loaded(kept, &before.run) {
            write(&place.loaded(), &loaded);
        }
        let mut tool = place.resume(&server);
        if !asked.is_empty() {
            tool = tool.args(["--checkpoint", asked]);
        }
        let run = tool.run().exits(0);
        let said = format!(
            "s3-list: {}: run {} {why}",
            place.file.display(),
            before.run
        );
        assert!(run.told()[0].starts_with(&said), "{case} {run}");
        if kept.starts_with("another") {
            assert!(
                run.told()[0].contains("delete its file FILE.loaded"),
                "{run}"
            );
        }
        let wanted = listed.split_whitespace().map(|at| format!("k0000{at}"));
        let wanted: Vec<String> = wanted.collect();
        let listing = run.listing();
        assert_eq!(listing.sorted(), wanted, "{case} {run}");
        let after = place.state();
        assert_eq!(
            after.run != before.run,
            why.ends_with("starting a new run"),
            "{case}"
        );
        let (ended, records, _) = listing.end.unwrap();
        assert_eq!((ended, records), (after.run, wanted.len() as u64), "{case}");
        // What is listed a second time is listed the last time.
        assert_eq!(after.closed, why.ends_with("again"), "{case}");
        assert_eq!((after.finished, after.broken_pipe), (true, false), "{case}");
        assert_eq!(after.coverage, [part(("", ""))], "{case}");
    }
}
