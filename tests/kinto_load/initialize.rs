//! --initialize: bucket and collection as the v1 jobs made them.

use serde_json::{Value, json};

use super::load;
use crate::harness::folder;
use crate::harness::kinto::Kinto;

fn case(text: &str) -> Value {
    let mut case: Value = serde_json::from_str(text).unwrap();
    for own in ["id", "last_modified"] {
        case["data"].as_object_mut().unwrap().remove(own);
    }
    case
}

#[test]
fn initialize_writes_only_what_differs() {
    let Some(kinto) = Kinto::without_bucket() else {
        return;
    };
    let manifest = include_str!("../../kinto/initialization.yml");
    let manifest = manifest.replace("\nbuild-hub:", &format!("\n{}:", kinto.bucket));
    let folder = folder();
    let file = folder.path().join("manifest.yml");
    std::fs::write(&file, manifest).unwrap();
    let run = |written: &[&str]| {
        let tool = load(&kinto)
            .arg("--initialize")
            .arg("--manifest")
            .arg(&file);
        let run = tool.run().exits(0);
        assert_eq!(
            run.stderr.matches("initialized").count(),
            written.len(),
            "{run}"
        );
        for path in written {
            assert!(
                run.stderr.contains(&format!("{path}: initialized")),
                "{run}"
            );
        }
    };
    let bucket = kinto.bucket_path();
    let collection = format!("{bucket}/collections/releases");
    let lock = kinto.lock_buckets();
    run(&[&bucket, &collection]);
    drop(lock);
    let state = || [&bucket, &collection].map(|path| kinto.ask("GET", path, None).1);
    let first = state();
    let expected = [
        case(include_str!("../cases/kinto/bucket.json")),
        case(include_str!("../cases/kinto/collection.json")),
    ];
    for (made, expected) in first.iter().zip(&expected) {
        let mut made = case(&made.to_string());
        assert_eq!(made["data"], expected["data"]);
        // The user who made it is another one.
        made["permissions"]["write"] = expected["permissions"]["write"].clone();
        assert_eq!(made["permissions"], expected["permissions"]);
    }
    run(&[]);
    assert_eq!(state(), first);

    let other = json!({"data": {"displayFields": ["id"], "own": 1}});
    assert_eq!(kinto.ask("PATCH", &collection, Some(&other)).0, 200);
    run(&[&collection]);
    let [_, now] = state();
    assert_eq!(
        now["data"]["displayFields"],
        first[1]["data"]["displayFields"]
    );
    assert_eq!(now["data"]["own"], 1, "what is not in the manifest stays");
    run(&[]);
}

#[test]
fn a_bucket_missing_from_the_manifest_is_reported() {
    let Some(kinto) = Kinto::without_bucket() else {
        return;
    };
    let run = load(&kinto).arg("--initialize").run().exits(78);
    run.says(&format!(
        "does not describe the bucket {:?}; pass --manifest FILE",
        kinto.bucket
    ));
    assert_eq!(kinto.ask("GET", &kinto.bucket_path(), None).0, 403);
}
