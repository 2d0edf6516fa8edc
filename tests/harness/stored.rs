//! The whole content of a database, SQLite or PostgreSQL.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::postgres::Database;
use super::{folder, python};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub enum Store {
    Sqlite(
        PathBuf,
        #[expect(dead_code, reason = "held, not read")] tempfile::TempDir,
    ),
    Postgres(Database),
}

/// A row of `main_build`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: i64,
    pub hash: String,
    pub build: Value,
    pub metadata: Value,
    pub created_at: jiff::Timestamp,
    pub key: Option<String>,
    /// As stored, with its quotes.
    pub etag: Option<String>,
}

/// Returns the value with one notation per number: jsonb has its own.
pub fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => json!(float as i64),
            float => json!(float),
        },
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => {
            let plain = members
                .into_iter()
                .map(|(name, value)| (name, plain(value)));
            Value::Object(plain.collect())
        }
        other => other,
    }
}

/// The columns of a row that its object determines.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub hash: String,
    pub build: Value,
    pub key: Option<String>,
    pub etag: Option<String>,
}

impl Row {
    pub fn content(&self) -> Content {
        Content {
            hash: self.hash.clone(),
            build: self.build.clone(),
            key: self.key.clone(),
            etag: self.etag.clone(),
        }
    }

    /// Returns the expected document in Elasticsearch.
    pub fn document(&self) -> Value {
        let mut document = Map::from_iter([("id".to_owned(), json!(self.id))]);
        for part in ["build", "source", "target", "download"] {
            match self.build.get(part) {
                None | Some(Value::Null) => {}
                Some(Value::Object(members)) if members.is_empty() => {}
                Some(value) => drop(document.insert(part.to_owned(), dated(value.clone()))),
            }
        }
        Value::Object(document)
    }
}

/// Returns a part of a build with its date, one of the samples', as it is indexed.
fn dated(mut part: Value) -> Value {
    if let Some(Value::String(date)) = part.get_mut("date") {
        *date = date.replace('Z', "+00:00");
    }
    part
}

/// Returns the expected rows of these objects (key, ETag, body), by CPython,
/// ordered by hash.
pub fn contents(objects: &[(String, String, Vec<u8>)]) -> Vec<Content> {
    let read = python::reads(objects.iter().map(|(.., body)| body.as_slice()));
    let mut contents: Vec<Content> = objects
        .iter()
        .zip(read)
        .map(|((key, etag, _), (hash, build))| Content {
            hash,
            build: plain(build),
            key: Some(key.clone()),
            etag: Some(format!("\"{etag}\"")),
        })
        .collect();
    contents.sort_by(|a, b| a.hash.cmp(&b.hash));
    contents
}

impl Store {
    /// Makes an empty database; `None` if there is no server.
    pub fn new(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Sqlite => {
                let folder = folder();
                Some(Self::Sqlite(folder.path().join("builds.db"), folder))
            }
            Kind::Postgres => Database::new().map(Self::Postgres),
        }
    }

    /// Returns the staging of this database.
    pub fn staging(&self, name: &str) -> Self {
        match self {
            Self::Sqlite(path, _) => {
                Self::Sqlite(path.with_file_name(format!("{name}.db")), folder())
            }
            Self::Postgres(database) => Self::Postgres(database.schema(name)),
        }
    }

    /// Returns whether the table is there.
    pub fn has(&self, table: &str) -> bool {
        match self {
            Self::Sqlite(path, _) if !path.exists() => false,
            Self::Sqlite(..) => {
                let query = format!("SELECT name FROM sqlite_schema WHERE name = '{table}'");
                !self.texts(&query).is_empty()
            }
            Self::Postgres(_) => {
                let query = format!("SELECT to_regclass('{table}')::text");
                self.texts(&query)[0][0].is_some()
            }
        }
    }

    /// Returns its URL as the programs show it.
    pub fn address(&self) -> String {
        match url::Url::parse(&self.url()) {
            Ok(mut url) if url.password().is_some() => {
                url.set_password(Some("***")).unwrap();
                url.into()
            }
            _ => self.url(),
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path, _) => format!("sqlite:{}", path.display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    /// Returns the result of `query`, whose columns are all text or NULL.
    pub fn texts(&self, query: &str) -> Vec<Vec<Option<String>>> {
        match self {
            Self::Sqlite(path, _) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut statement = connection.prepare(query).unwrap();
                let columns = statement.column_count();
                let rows =
                    statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect());
                rows.unwrap().map(Result::unwrap).collect()
            }
            Self::Postgres(database) => {
                let rows = database.client().query(query, &[]).unwrap();
                let texts = |row: &postgres::Row| (0..row.len()).map(|i| row.get(i)).collect();
                rows.iter().map(texts).collect()
            }
        }
    }

    pub fn execute(&self, statements: &str) {
        match self {
            Self::Sqlite(path, _) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(statements).unwrap();
            }
            Self::Postgres(database) => database.client().batch_execute(statements).unwrap(),
        }
    }

    /// Returns every row, ordered by hash.
    pub fn rows(&self) -> Vec<Row> {
        let created_at = match self {
            Self::Sqlite(..) => "created_at",
            Self::Postgres(_) => {
                r#"to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
            }
        };
        let query = format!(
            "SELECT cast(id AS text), cast(build_hash AS text), cast(build AS text),
                    cast(metadata AS text), {created_at},
                    cast(s3_object_key AS text), cast(s3_object_etag AS text)
             FROM main_build ORDER BY build_hash"
        );
        let row = |texts: Vec<Option<String>>| {
            let [id, hash, build, metadata, created_at, key, etag] = texts.try_into().unwrap();
            Row {
                id: id.unwrap().parse().unwrap(),
                hash: hash.unwrap(),
                build: plain(serde_json::from_str(&build.unwrap()).unwrap()),
                metadata: serde_json::from_str(&metadata.unwrap()).unwrap(),
                created_at: created_at.unwrap().parse().unwrap(),
                key,
                etag,
            }
        };
        self.texts(&query).into_iter().map(row).collect()
    }

    pub fn contents(&self) -> Vec<Content> {
        self.rows().iter().map(Row::content).collect()
    }

    /// Returns the keys of all rows, sorted.
    pub fn keys(&self) -> Vec<String> {
        let rows = self.rows().into_iter();
        let mut keys: Vec<_> = rows.map(|row| row.key.unwrap()).collect();
        keys.sort();
        keys
    }

    /// Returns the expected documents in Elasticsearch, by id.
    pub fn documents(&self) -> BTreeMap<i64, Value> {
        let rows = self.rows();
        rows.iter().map(|row| (row.id, row.document())).collect()
    }

    /// Returns the known objects: key, ETag and hash, in order.
    pub fn objects(&self) -> Vec<[String; 3]> {
        let query = "SELECT key, etag, cast(build_hash AS text) FROM bh_object ORDER BY 1, 2, 3";
        let row =
            |texts: Vec<Option<String>>| <[_; 3]>::try_from(texts).unwrap().map(Option::unwrap);
        self.texts(query).into_iter().map(row).collect()
    }

    /// Returns the rows of the outbox, with the error of refused documents.
    pub fn outbox(&self) -> Vec<(i64, Option<String>)> {
        let query = "SELECT cast(id AS text), error FROM bh_outbox ORDER BY bh_outbox.id";
        let row = |texts: Vec<Option<String>>| {
            let [id, error] = texts.try_into().unwrap();
            (id.unwrap().parse().unwrap(), error)
        };
        self.texts(query).into_iter().map(row).collect()
    }
}
