//! README.md and docs/ are run as they stand: each block marked `sh`, by bash, in the order of
//! its section. A block marked `text` says why it is not.

mod place;

use buildhub_pipes::stage::STAGES;

use crate::bh_derive::cases::{BASE, cases};
use crate::harness::elastic::Index;
use crate::harness::kinto::Kinto;
use crate::harness::postgres::Database;
pub use place::DOCUMENTS;
use place::{Block, KEYS, Place, blocks, headings};

/// A section of docs/recipes.md: how its blocks exit, and what they leave.
struct Recipe {
    section: &'static str,
    exits: &'static [i32],
    leaves: fn(&Place),
}

/// The sections that need no server but S3.
const RECIPES: &[Recipe] = &[
    Recipe {
        section: "Every night, with cron",
        exits: &[65, 0],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            place.prints(r#""status": 65"#);
            place.prints(r#""stored": 200"#);
        },
    },
    Recipe {
        section: "Is it complete?",
        exits: &[65, 65, 0, 65],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            assert_eq!(place.records("differences.ndjson"), 211);
        },
    },
    Recipe {
        section: "A backfill in stages",
        exits: &[65, 0],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            place.prints(r#""outcome":"removed""#);
            assert!(!place.path("november.db").exists());
        },
    },
    Recipe {
        section: "Objects of a certain time",
        exits: &[65],
        leaves: |place| assert_eq!(place.rows(), 200),
    },
    Recipe {
        section: "Known rejects",
        exits: &[65, 65],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            place.run(("docs/recipes.md", "Known rejects"), 1);
        },
    },
    Recipe {
        section: "One object, by hand",
        exits: &[0],
        leaves: |place| assert_eq!(place.rows(), 1),
    },
    Recipe {
        section: "What would happen?",
        exits: &[0],
        leaves: |place| {
            place.prints(" insert\n");
            assert!(!place.path("builds.db").exists());
        },
    },
    Recipe {
        section: "A listing from another tool",
        exits: &[65, 0, 0],
        leaves: |place| {
            for product in ["firefox", "thunderbird", "mobile"] {
                assert!(place.rows_below(product) > 0, "{product}: {place}");
            }
        },
    },
    Recipe {
        section: "An inventory instead of a listing",
        exits: &[65, 0],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            assert_eq!(place.records("wanted.ndjson"), 211);
            assert_eq!(place.records("keys.ndjson"), KEYS);
        },
    },
    Recipe {
        section: "Keep a listing, and use it twice",
        exits: &[0],
        leaves: |place| assert_eq!(place.records("wanted.ndjson"), 211),
    },
    Recipe {
        section: "What changed since yesterday?",
        exits: &[0],
        leaves: |place| {
            assert_eq!(place.records("changed.ndjson"), 211);
            assert!(!place.path("today.ndjson").exists());
            place.run(("docs/recipes.md", "What changed since yesterday?"), 1);
            assert_eq!(place.records("changed.ndjson"), 0);
        },
    },
    Recipe {
        section: "Keys in order",
        exits: &[0, 141],
        leaves: |place| {
            let keys = place.read("keys.txt");
            assert!(keys.lines().is_sorted(), "{place}");
            assert!(keys.lines().count() >= KEYS, "{place}");
            place.prints("pub/firefox/candidates/");
        },
    },
    Recipe {
        section: "Your own filter",
        exits: &[65, 0, 0],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            place.says(" outside");
            assert_eq!(place.records("wanted.ndjson"), 211);
        },
    },
    Recipe {
        section: "Share a bucket among processes or machines",
        exits: &[0, 0],
        leaves: |place| {
            assert_eq!(place.rows(), 200);
            assert!(place.read("part-8.log").contains("bh-load: "), "{place}");
        },
    },
];

const EXPORT: &str = "Rows of the database as lines";
const SHOW_STATE: &str = "How far is it, and what was loaded?";
const REPAIR: &str = "Repair rejects, and load them";
const SEARCH: &str = "PostgreSQL and Elasticsearch";
const INDEX: &str = "Rebuild the index";
const FROM_KINTO: &str = "From Kinto into the database";
const INTO_KINTO: &str = "Release records into Kinto";
const EVENTS: &str = "Release records from S3 events";

/// The sections with a test of their own.
const OTHERS: [&str; 8] = [
    EXPORT, SHOW_STATE, REPAIR, SEARCH, INDEX, FROM_KINTO, INTO_KINTO, EVENTS,
];

const FIRST_RUN: (&str, &str) = ("README.md", "The first run on your own bucket");

#[test]
fn recipes_do_what_they_say() {
    for recipe in RECIPES {
        let Some(place) = Place::new("docs/recipes.md", recipe.section) else {
            continue;
        };
        place.exits(recipe.exits);
        (recipe.leaves)(&place);
    }
}

#[test]
fn a_run_is_shown() {
    let Some(place) = Place::new("docs/recipes.md", SHOW_STATE) else {
        return;
    };
    place.run(FIRST_RUN, 1);
    place.exits(&[0, 0]);
    place.prints("confirmed");
    assert_eq!(
        place
            .read("list.json")
            .matches(r#""finished":true"#)
            .count(),
        1
    );
}

#[test]
fn rows_are_exported() {
    let Some(place) = Place::new("docs/recipes.md", EXPORT) else {
        return;
    };
    place.run(FIRST_RUN, 1);
    std::fs::write(place.path("next.yaml"), include_str!("../schema.yaml")).unwrap();
    place.exits(&[0, 0, 0, 0]);
    let lines = ["builds.ndjson", "newer.ndjson", "objects.ndjson"].map(|name| place.records(name));
    assert_eq!((lines[0], lines[1]), (200, 0), "{place}");
    assert!(lines[2] >= 200, "{place}");
    assert!(place.path("next.db").exists());
}

#[test]
fn rejects_are_repaired_and_the_others_kept() {
    let Some(place) = Place::new("docs/recipes.md", REPAIR) else {
        return;
    };
    place.run(FIRST_RUN, 1);
    assert_eq!((place.rows(), place.records("rejects.ndjson")), (200, 9));
    place.exits(&[65, 0]);
    assert_eq!((place.rows(), place.records("rejects.ndjson")), (201, 8));
}

#[test]
fn the_recipe_for_postgres_and_elasticsearch_stores_and_indexes() {
    let (Some(database), Some(index)) = (Database::new(), Index::new(8)) else {
        return;
    };
    let Some(mut place) = Place::new("docs/recipes.md", SEARCH) else {
        return;
    };
    place.set("DATABASE_URL", &database.url);
    place.set("ELASTICSEARCH_URL", &index.url);
    // The server is shared, and the name of the index is not an environment variable.
    place.replace_program("bh-load", &format!("--index {}", index.name));
    place.exits(&[65, 0]);
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 200);
    assert_eq!(index.documents().len(), 200, "{place}");
}

#[test]
fn the_recipe_for_an_index_repairs_it() {
    let Some(index) = Index::new(8) else { return };
    let Some(mut place) = Place::new("docs/recipes.md", INDEX) else {
        return;
    };
    place.set("ELASTICSEARCH_URL", &index.url);
    for program in ["bh-load", "bh-index"] {
        place.replace_program(program, &format!("--index {}", index.name));
    }
    place.run(("docs/recipes.md", SEARCH), 1);
    let documents = index.documents();
    index.delete(documents.keys().copied().take(3));
    place.exits(&[65, 0, 0]);
    place.prints("3 unindexed");
    assert_eq!(place.records("repaired.ndjson"), 3);
    assert_eq!(index.documents(), documents, "{place}");
}

fn with_kinto(section: &str, kinto: &Kinto) -> Option<Place> {
    let mut place = Place::new("docs/recipes.md", section)?;
    place.set("KINTO_SERVER_URL", &kinto.url);
    place.set("KINTO_AUTH", &kinto.auth);
    place.set("KINTO_BUCKET", &kinto.bucket);
    place.set("KINTO_COLLECTION", "releases");
    // Archives that fail on purpose are not asked nine times.
    place.set("NB_RETRY_REQUEST", "2");
    Some(place)
}

#[test]
fn the_recipe_from_kinto_loads_its_builds() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..40);
    let Some(place) = with_kinto(FROM_KINTO, &kinto) else {
        return;
    };
    place.exits(&[0, 0, 0, 0]);
    assert_eq!(place.rows(), 40, "{place}");
}

#[test]
fn the_recipes_into_kinto_load_release_records() {
    let Some(kinto) = Kinto::new() else { return };
    let all = cases("pipeline");
    let wide = all.iter().find(|case| case.name == "wide").unwrap();
    let archive = wide.archive();
    let locked = kinto.lock_buckets();
    let records = wide.text("expected.ndjson").replace(BASE, &archive.url);
    for (section, exits, stored) in [
        (INTO_KINTO, &[65, 0, 65][..], records.lines().count()),
        (EVENTS, &[0], 1),
    ] {
        let Some(mut place) = with_kinto(section, &kinto) else {
            return;
        };
        place.set("ARCHIVE_URL", &archive.url);
        place.inventory_of(&wide.text("inventory.csv"));
        place.exits(exits);
        assert!(kinto.stored().len() >= stored.min(2), "{place}");
        assert!(kinto.stored().contains_key("firefox_52-0_linux-x86_64_fr"));
    }
    drop(locked);
}

#[test]
fn the_readme_installs_uninstalls_and_loads() {
    let all = blocks("README.md");
    let sections: Vec<&str> = headings(&all).collect();
    assert_eq!(sections, ["Install", FIRST_RUN.1]);
    let Some(place) = Place::new("README.md", "Install") else {
        return;
    };
    let folders = [".cargo", ".local", ".config"];
    let files = || -> usize { folders.iter().map(|name| walk(&place.path(name))).sum() };
    place.run(("README.md", "Install"), 1);
    let programs = STAGES.len();
    assert_eq!(files(), programs + 2 + 3 * programs, "{place}");
    place.exits(&[0, 0]);
    assert_eq!(files(), 0, "{place}");

    let Some(place) = Place::new(FIRST_RUN.0, FIRST_RUN.1) else {
        return;
    };
    place.exits(&[65, 0, 0]);
    assert_eq!(place.rows(), 200, "{place}");
    place.prints("nightly|");
    place.prints("schema");
}

/// Returns the number of files in a folder and those below it.
fn walk(folder: &std::path::Path) -> usize {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let sizes = entries.map(|path| if path.is_dir() { walk(&path) } else { 1 });
    sizes.sum()
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let mut count = std::collections::BTreeMap::new();
    for document in DOCUMENTS {
        for Block { kind, text, .. } in blocks(document) {
            let (run, not_run) = count.entry(document).or_insert((0, 0));
            match &*kind {
                "sh" => *run += 1,
                "text" => {
                    let first = text.lines().next().unwrap();
                    assert!(
                        first.starts_with("# Not run by the tests: "),
                        "{document}: {text}"
                    );
                    *not_run += 1;
                }
                // The forms of lines, beside the prose that explains them.
                "" => assert!(text.starts_with(['{', '"']), "{document}: {text}"),
                other => panic!("{document}: a block of {other}"),
            }
        }
    }
    let expected = [
        ("README.md", (5, 3)),
        ("docs/compatibility.md", (0, 1)),
        ("docs/recipes.md", (48, 7)),
    ];
    count.retain(|_, counts| *counts != (0, 0));
    assert_eq!(count, std::collections::BTreeMap::from(expected));

    let all = blocks("docs/recipes.md");
    let mut sections: Vec<&str> = headings(&all).collect();
    let mut tested: Vec<&str> = RECIPES.iter().map(|recipe| recipe.section).collect();
    tested.extend(OTHERS);
    sections.sort_unstable();
    tested.sort_unstable();
    assert_eq!(sections, tested);
}
