//! The index that follows the database: the same one from run to run, whole, and
//! of no other database. PostgreSQL with Elasticsearch 6, SQLite with 8.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::fed::Fed;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::{ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, wait_for};

/// Runs each test on both kinds of databases, with an index that is not there yet.
macro_rules! on_each_index {
    ($($test:ident)*) => {
        on_each_index!(sqlite, Sqlite, 8: $($test)*);
        on_each_index!(postgres, Postgres, 6: $($test)*);
    };
    ($module:ident, $kind:ident, $version:literal: $($test:ident)*) => {
        mod $module {$(
            #[test]
            fn $test() {
                if let Some((store, index)) = super::setting(super::Kind::$kind, $version) {
                    super::$test(&store, &index);
                }
            }
        )*}
    };
}
pub(super) use on_each_index;

on_each_index! {
    an_index_deleted_during_a_run_is_not_made_again_by_it
    an_index_deleted_after_the_last_document_is_missed_at_the_end
    a_lost_index_takes_new_rows_after_requeue
    an_index_recreated_empty_is_missed
    documents_taken_away_are_missed
    an_index_follows_one_database
    an_index_of_unknown_documents_is_refused
    an_index_of_another_program_is_adopted
    an_alias_is_followed_to_its_index
    a_run_without_elasticsearch_queues_for_the_index
    rows_stored_before_the_first_index_are_sent
    a_database_of_an_older_version_is_followed
    another_index_needs_requeue
    two_loaders_begin_at_once_on_nothing
    an_emptied_database_begins_again
    a_restored_database_is_told_from_its_index
}

pub fn setting(kind: Kind, version: u32) -> Option<(Store, Index)> {
    Some((Store::new(kind)?, Index::new(version)?))
}

pub fn alone(store: &Store) -> Tool {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url(), "--flush-interval=0.05"])
}

pub fn loader(store: &Store, index: &Index) -> Tool {
    alone(store).args(["--elasticsearch", &index.url, "--index", &index.name])
}

pub fn records(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(record).collect()
}

pub fn load(store: &Store, index: &Index, numbers: std::ops::Range<usize>) -> Run {
    loader(store, index).input(ndjson(&records(numbers))).run()
}

impl Index {
    fn drop_it(&self) {
        let answer = self.request(Method::Delete, &format!("/{}", self.name), None);
        assert_eq!(answer["acknowledged"], true, "{answer}");
    }

    pub fn put(&self, path: &str, body: Value) {
        let answer = self.request(Method::Put, &format!("/{}{path}", self.name), Some(body));
        assert!(answer["error"].is_null(), "{answer}");
    }

    fn is_there(&self) -> bool {
        let answer = self.request(Method::Get, &format!("/{}", self.name), None);
        answer["error"].is_null()
    }

    /// As Buildhub2 indexes a document.
    fn put_document(&self, id: i64, document: &Value) {
        let kind = if self.version == 6 { "doc" } else { "_doc" };
        self.put(&format!("/{kind}/{id}"), document.clone());
    }
}

/// The index holds what the rows say, and nothing waits.
#[track_caller]
pub fn is_whole(store: &Store, index: &Index) {
    assert_eq!(store.outbox(), []);
    assert_eq!(index.documents(), store.documents());
}

/// The run ends with 78 and the command that mends it; after that command the
/// index is whole.
#[track_caller]
fn is_mended(run: Run, store: &Store, index: &Index) {
    run.exits(78).says("run bh-index with the same --database");
    let mend = Tool::new("bh-index").args(["--database", &store.url()]);
    mend.args(["--elasticsearch", &index.url, "--index", &index.name])
        .run()
        .exits(0);
    is_whole(store, index);
    let tree = json!({"query": {"term": {"source.tree": "mozilla-central"}}});
    let path = format!("/{}/_count", index.name);
    let found = index.request(Method::Post, &path, Some(tree));
    assert_eq!(found["count"], store.rows().len(), "{found}");
    load(store, index, 0..1).exits(0);
}

fn an_index_deleted_during_a_run_is_not_made_again_by_it(store: &Store, index: &Index) {
    loader(store, index).run().exits(0);
    let mut fed = Fed::new(loader(store, index));
    fed.give(&records(0..20));
    wait_for("the first documents", || {
        store.rows().len() == 20 && store.outbox().is_empty()
    });
    index.drop_it();
    fed.give(&records(20..40));
    wait_for("the other rows", || store.rows().len() == 40);
    let run = fed.finish();
    assert!(!index.is_there(), "{run}");
    assert_eq!(store.outbox().len(), 20, "{run}");
    is_mended(run.says("the index is gone"), store, index);
}

fn an_index_deleted_after_the_last_document_is_missed_at_the_end(store: &Store, index: &Index) {
    loader(store, index).run().exits(0);
    let mut fed = Fed::new(loader(store, index));
    fed.give(&records(0..20));
    wait_for("the documents", || {
        store.rows().len() == 20 && store.outbox().is_empty()
    });
    index.drop_it();
    is_mended(fed.finish().says("the index is gone"), store, index);
}

fn a_lost_index_takes_new_rows_after_requeue(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    index.drop_it();
    // The rows are stored, whatever became of the index.
    let run = load(store, index, 10..30).says("the index is gone");
    assert_eq!(store.rows().len(), 30, "{run}");
    assert_eq!(store.outbox().len(), 10, "{run}");
    assert!(!index.is_there(), "{run}");
    is_mended(run, store, index);
}

fn an_index_recreated_empty_is_missed(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    index.drop_it();
    index.put("", json!({}));
    let run = load(store, index, 0..30).says("was recreated");
    assert!(index.documents().is_empty(), "{run}");
    // Made in the middle of a run, too.
    let run = loader(store, index).arg("--requeue").run().exits(0);
    assert_eq!(run.count("/notes/indexed"), 30, "{run}");
    let mut fed = Fed::new(loader(store, index));
    fed.give(&records(30..40));
    wait_for("the documents", || {
        store.rows().len() == 40 && store.outbox().is_empty()
    });
    index.drop_it();
    index.put("", json!({}));
    let run = fed.finish().says("was recreated");
    index.drop_it();
    is_mended(run, store, index);
}

fn documents_taken_away_are_missed(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    index.delete([3, 7]);
    let run = load(store, index, 20..30).says("the index lacks 2 of ");
    // What is left goes on.
    assert_eq!(index.documents().len(), 28, "{run}");
    is_mended(run, store, index);
}

fn an_index_follows_one_database(store: &Store, index: &Index) {
    let Some(other) = Store::new(Kind::Sqlite) else {
        return;
    };
    load(store, index, 0..20).exits(0);
    for tool in [
        loader(&other, index),
        loader(&other, index).arg("--requeue"),
    ] {
        let run = tool.input(ndjson(&records(100..120))).run().exits(78);
        run.says("the index follows another database");
    }
    assert!(other.rows().is_empty());
    is_whole(store, index);
}

fn an_index_of_unknown_documents_is_refused(store: &Store, index: &Index) {
    // Of a program that names no database: a row of the same id is another build.
    let document = |n: usize| {
        let build = &record(n)["build"];
        json!({"id": n, "source": build["source"], "target": build["target"]})
    };
    (1..=20).for_each(|n| index.put_document(n, &document(usize::try_from(n).unwrap() + 500)));
    let before = index.documents();
    assert_eq!(before.len(), 20);
    for n in 0..2 {
        let run = load(store, index, 0..20).exits(78);
        run.says("20 of 20 documents that were checked do not match the rows");
        assert!(store.rows().is_empty());
        if n == 0 {
            alone(store).run().exits(0);
        }
    }
    alone(store).input(ndjson(&records(0..20))).run().exits(0);
    load(store, index, 0..20).exits(78);
    assert_eq!(index.documents(), before);
}

/// Takes from the index what says whose it is.
fn forget(index: &Index, store: &Store) {
    let documents = index.documents();
    let path = format!("/{}", index.name);
    let before = index.request(Method::Get, &path, None)[&index.name]["mappings"].clone();
    let mut mappings = before;
    let mapping = match index.version {
        6 => &mut mappings["doc"],
        _ => &mut mappings,
    };
    let database = mapping.as_object_mut().unwrap().remove("_meta").unwrap();
    let id = store.texts("SELECT id FROM bh_database")[0][0].clone();
    assert_eq!(database["bh_database"]["id"], json!(id));
    index.drop_it();
    index.put("", json!({"mappings": mappings}));
    for (id, document) in &documents {
        index.put_document(*id, document);
    }
    assert_eq!(index.documents(), documents);
}

fn an_index_of_another_program_is_adopted(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    forget(index, store);
    store.execute("UPDATE bh_database SET \"index\" = NULL");
    let run = load(store, index, 0..30).exits(0);
    assert_eq!(run.count("/notes/indexed"), 10, "{run}");
    run.says("is the index of this database from now on");
    is_whole(store, index);
    let run = load(store, index, 30..40).exits(0);
    assert!(!run.stderr.contains("from now on"), "{run}");
    is_whole(store, index);
}

fn an_alias_is_followed_to_its_index(store: &Store, index: &Index) {
    let target = Index::new(index.version).unwrap();
    target.put("", json!({"aliases": {&*index.name: {}}}));
    load(store, index, 0..20).exits(0);
    load(store, index, 20..30).exits(0);
    is_whole(store, &target);
    // The alias moves on to an index that does not have the rows.
    let next = Index::new(index.version).unwrap();
    next.put("", json!({}));
    let action = |verb: &str, of: &Index| json!({verb: {"index": of.name, "alias": index.name}});
    let actions = json!({"actions": [action("remove", &target), action("add", &next)]});
    index.request(Method::Post, "/_aliases", Some(actions));
    let run = load(store, index, 30..40).says("was recreated");
    is_mended(run, store, index);
    assert_eq!(next.documents(), store.documents());
    assert_eq!(target.documents().len(), 30);
}

fn a_run_without_elasticsearch_queues_for_the_index(store: &Store, index: &Index) {
    // Nothing follows yet, and nothing is queued.
    let run = alone(store).input(ndjson(&records(0..5))).run().exits(0);
    assert!(!run.stderr.contains("wait in"), "{run}");
    assert_eq!(store.outbox(), []);
    load(store, index, 5..20).exits(0);
    let run = alone(store).input(ndjson(&records(10..30))).run().exits(0);
    run.says(&format!(
        "10 documents are queued in {} for {}; run again with --elasticsearch to index them",
        store.address(),
        index.name
    ));
    assert_eq!(store.outbox().len(), 10);
    loader(store, index).run().exits(0);
    is_whole(store, index);
}

fn rows_stored_before_the_first_index_are_sent(store: &Store, index: &Index) {
    alone(store).input(ndjson(&records(0..20))).run().exits(0);
    let run = load(store, index, 10..30).exits(0);
    let queued = format!("{}: 20 rows are queued for ", store.address());
    assert_eq!(run.says(&queued).count("/notes/indexed"), 30);
    is_whole(store, index);
}

fn a_database_of_an_older_version_is_followed(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    forget(index, store);
    store.execute("DROP TABLE bh_database");
    load(store, index, 0..30).exits(0);
    is_whole(store, index);
    // Its index is lost as well: nothing says that there was one.
    index.drop_it();
    store.execute("DROP TABLE bh_database");
    load(store, index, 30..40).exits(0);
    is_whole(store, index);
}

fn another_index_needs_requeue(store: &Store, index: &Index) {
    let other = Index::new(index.version).unwrap();
    load(store, index, 0..20).exits(0);
    let run = load(store, &other, 20..30).exits(78);
    run.says(&format!("use --index {}, or run bh-index", index.name));
    assert_eq!(store.rows().len(), 20);
    assert!(!other.is_there());
    loader(store, &other).arg("--requeue").run().exits(0);
    is_whole(store, &other);
    load(store, index, 20..30).exits(78);
    let without = alone(store).arg("--requeue").run().exits(2);
    without.says("--requeue needs --elasticsearch");
}

fn two_loaders_begin_at_once_on_nothing(store: &Store, index: &Index) {
    let proxy = Proxy::new(&index.url);
    let hold = proxy.set(Trap {
        text: "PUT /",
        nth: 1,
        point: Point::Asked,
    });
    let way = ["--elasticsearch", &proxy.url, "--index", &index.name];
    let first = Fed::new(alone(store).args(way));
    wait_for("the first one's creation", || hold.is_held());
    load(store, index, 0..20).exits(0);
    hold.release(true);
    first.finish().exits(0);
    is_whole(store, index);
}

fn an_emptied_database_begins_again(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    store.execute("DELETE FROM main_build; DELETE FROM bh_object");
    index.drop_it();
    load(store, index, 0..20).exits(0);
    is_whole(store, index);
}

fn a_restored_database_is_told_from_its_index(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    loader(store, index).arg("--requeue").run().exits(0);
    store.execute("UPDATE bh_database SET generation = 0");
    let run = load(store, index, 0..20).exits(78);
    run.says("the index follows a later state of this database");
    index.drop_it();
    loader(store, index).arg("--requeue").run().exits(0);
    is_whole(store, index);
}

/// A document that the old index confirms says nothing of the new one.
#[test]
fn a_confirmation_from_before_requeue_takes_nothing_off_the_queue() {
    for (kind, version) in [(Kind::Sqlite, 8), (Kind::Postgres, 6)] {
        let Some((store, index)) = setting(kind, version) else {
            return;
        };
        load(&store, &index, 0..5).exits(0);
        let proxy = Proxy::new(&index.url);
        let way = ["--elasticsearch", &proxy.url, "--index", &index.name];
        let hold = proxy.set(Trap {
            text: "/_bulk",
            nth: 1,
            point: Point::Answered,
        });
        let mut first = Fed::new(alone(&store).args(way));
        first.give(&records(5..20));
        wait_for("the answer", || hold.is_held());
        index.drop_it();
        // Its documents are sent when the first one's confirmation is in doubt.
        let second = Proxy::new(&index.url);
        let way = ["--elasticsearch", &second.url, "--index", &index.name];
        let other = second.set(Trap {
            text: "/_bulk",
            nth: 1,
            point: Point::Asked,
        });
        let requeue = Fed::new(alone(&store).args(way).arg("--requeue"));
        wait_for("the second one's documents", || other.is_held());
        hold.release(true);
        let run = first.finish().exits(75);
        run.says("every row was queued again by another loader");
        assert_eq!(store.outbox().len(), 20);
        other.release(true);
        requeue.finish().exits(0);
        is_whole(&store, &index);
    }
}
