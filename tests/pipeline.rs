//! The whole pipeline, from a bucket into each kind of store.

mod again;
mod faults;
mod golden;
mod keys;
mod known_bad;
mod objects;
mod refused;
mod repaired;

/// Runs the named tests with SQLite and with PostgreSQL.
macro_rules! on_each_store {
    ($($test:ident)*) => {
        mod sqlite {$(
            #[test]
            fn $test() {
                super::$test(crate::harness::stored::Kind::Sqlite);
            }
        )*}

        mod postgres {$(
            #[test]
            fn $test() {
                super::$test(crate::harness::stored::Kind::Postgres);
            }
        )*}
    };
}
pub(crate) use on_each_store;

/// Objects with their ETags, as `contents` takes them.
type Objects = Vec<(String, String, Vec<u8>)>;

/// Stores the objects and returns them with their ETags.
fn stored(bucket: &crate::harness::minio::Bucket, objects: &[(String, Vec<u8>)]) -> Objects {
    let etags = bucket.put_all(objects.iter().cloned());
    let with_etags = objects.iter().zip(etags);
    with_etags
        .map(|((key, body), etag)| (key.clone(), etag, body.clone()))
        .collect()
}
