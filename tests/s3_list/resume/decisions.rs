//! What a resumed run takes as done.

use super::{Loaded, Place, State, part, write};
use crate::s3_list::{numbered, server_of};

/// A name for a case, the run's state, what the loader kept, flags; then the
/// keys that are listed and what is said of it.
type Case<'a> = (
    &'a str,
    fn(&mut State),
    Option<(Which, &'a [(&'a str, &'a str)])>,
    &'a [&'a str],
    Keys,
    &'a str,
);

#[derive(Clone, Copy)]
enum Which {
    Same,
    Another,
    None,
}

#[derive(Clone, Copy)]
enum Keys {
    From(usize),
    These(&'static [usize]),
    NewRun,
}

#[test]
fn what_is_done_again_is_what_may_be_lost() {
    use Keys::{From, NewRun, These};
    use Which::{Another, None as Nothing, Same};
    let same: fn(&mut State) = |_| {};
    let broken: fn(&mut State) = |state| state.broken_pipe = true;
    let finished: fn(&mut State) = |state| {
        state.finished = true;
        state.coverage = vec![part(("", ""))];
    };
    let untouched: fn(&mut State) = |state| state.coverage.clear();
    let gap: fn(&mut State) = |state| state.coverage.push(part(("k00006", "k00007")));
    let to_2: &[(&str, &str)] = &[("", "k00002")];
    let parts: &[(&str, &str)] = &[("", "k00001"), ("k00003", "k00005")];
    let all: &[(&str, &str)] = &[("", "")];
    let cases: &[Case] = &[
        (
            "no loader",
            same,
            None,
            &[],
            From(5),
            "from what was listed",
        ),
        (
            "no loader, gaps",
            gap,
            None,
            &[],
            These(&[5, 6, 8, 9]),
            "from what was listed",
        ),
        (
            "a loader",
            same,
            Some((Same, to_2)),
            &[],
            From(3),
            "what the loader has confirmed",
        ),
        (
            "a loader, gaps",
            same,
            Some((Same, parts)),
            &[],
            These(&[2, 3, 6, 7, 8, 9]),
            "what the loader has confirmed",
        ),
        (
            "all loaded",
            same,
            Some((Same, all)),
            &[],
            These(&[]),
            "what the loader has confirmed",
        ),
        (
            "another's loader",
            same,
            Some((Another, to_2)),
            &[],
            From(0),
            "from its start",
        ),
        (
            "a loader of nothing",
            same,
            Some((Nothing, &[])),
            &[],
            From(0),
            "from its start",
        ),
        (
            "a broken pipe",
            broken,
            None,
            &[],
            From(0),
            "from its start",
        ),
        (
            "a broken pipe, a loader",
            broken,
            Some((Same, to_2)),
            &[],
            From(3),
            "what the loader has confirmed",
        ),
        (
            "nothing listed",
            untouched,
            None,
            &[],
            From(0),
            "nothing was listed yet",
        ),
        (
            "asked for listed",
            same,
            Some((Same, to_2)),
            &["--checkpoint", "listed"],
            From(5),
            "as asked",
        ),
        (
            "asked for listed, broken",
            broken,
            None,
            &["--checkpoint", "listed"],
            From(5),
            "as asked",
        ),
        (
            "asked for loaded",
            same,
            None,
            &["--checkpoint", "loaded"],
            From(0),
            "from its start",
        ),
        (
            "asked for loaded, a loader",
            same,
            Some((Same, to_2)),
            &["--checkpoint", "loaded"],
            From(3),
            "what the loader has confirmed",
        ),
        (
            "finished",
            finished,
            None,
            &[],
            NewRun,
            "is finished: a new run begins",
        ),
        (
            "finished, a loader",
            finished,
            Some((Same, to_2)),
            &[],
            NewRun,
            "is finished: a new run begins",
        ),
        (
            "finished, asked",
            finished,
            None,
            &["--checkpoint", "listed"],
            NewRun,
            "is finished: a new run begins",
        ),
    ];
    let keys = numbered(10);
    let server = server_of(&keys, &[]);
    for (name, change, loaded, flags, expected, why) in cases {
        let place = Place::new();
        let before = place.half(&server, change);
        if let Some((which, coverage)) = loaded {
            let run = match which {
                Same => Some(before.run.clone()),
                Another => Some("another".to_owned()),
                Nothing => None,
            };
            let coverage = coverage.iter().copied().map(part).collect();
            write(
                &place.loaded(),
                &Loaded {
                    format: 1,
                    run,
                    coverage,
                },
            );
        }
        let run = place
            .resume(&server)
            .args(flags.iter().copied())
            .run()
            .exits(0);
        let file = place.file.display();
        assert!(
            run.told()[0].starts_with(&format!("s3-list: {file}: ")),
            "{name} {run}"
        );
        assert!(run.told()[0].contains(why), "{name} {run}");
        let wanted: Vec<&String> = match expected {
            From(first) => keys[*first..].iter().collect(),
            These(some) => some.iter().map(|at| &keys[*at]).collect(),
            NewRun => keys.iter().collect(),
        };
        let listing = run.listing();
        assert_eq!(listing.keys(), wanted, "{name} {run}");
        let after = place.state();
        let new = matches!(expected, NewRun);
        assert_eq!(after.run != before.run, new, "{name}");
        let (ended, records, _) = listing.end.unwrap();
        assert_eq!((ended, records), (after.run, wanted.len() as u64), "{name}");
        assert_eq!((after.finished, after.broken_pipe), (true, false), "{name}");
        assert_eq!(after.coverage, [part(("", ""))], "{name}");
    }
}
