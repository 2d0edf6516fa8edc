use super::layouts::all;
use crate::synthetic::{KeySpace, by_name};

/// Those that have limits to keep.
pub const NAMES: [&str; 4] = ["archive", "prefix", "sequential", "hash"];

#[test]
fn key_spaces_are_in_order_and_searchable() {
    for len in [1, 7, 2000, 1_000_000, 60_000_000] {
        for name in NAMES {
            check(name, &*by_name(name, len).unwrap());
        }
        if len > 1000 {
            for space in all(len) {
                check(space.name, &space);
            }
        }
    }
}

fn check(name: &str, space: &dyn KeySpace) {
    let len = space.len();
    let (mut before, mut key) = (String::new(), String::new());
    let step = (len / 20_000).max(1);
    for base in (step..len).step_by(usize::try_from(step).unwrap()) {
        space.key(base - 1, &mut before);
        space.key(base, &mut key);
        assert!(before < key, "{name} {len} {base}: {before} {key}");
    }
    for turn in 0..100 {
        let index = len * turn / 100;
        space.key(index, &mut key);
        assert_eq!(space.position(&key), index + 1);
    }
}
