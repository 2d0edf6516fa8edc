//! Buckets on the Kinto that TEST_KINTO_URL names, and a stand-in
//! for a Kinto that fails as the test says.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use postgres::{Client, NoTls};
use serde_json::{Value, json};

use super::http::message;
use super::{Tool, left_out};

/// A bucket with a collection that no other test uses, deleted at the end.
pub struct Kinto {
    pub url: String,
    pub database: String,
    pub auth: String,
    pub bucket: String,
}

pub const COLLECTION: &str = "releases";

impl Kinto {
    /// Makes a bucket with an empty collection; `None` if there is no server.
    pub fn new() -> Option<Self> {
        let kinto = Self::without_bucket()?;
        let bucket = kinto.bucket_path();
        let lock = kinto.lock_buckets();
        for path in [bucket.clone(), format!("{bucket}/collections/{COLLECTION}")] {
            let (status, answer) = kinto.ask("PUT", &path, None);
            assert_eq!(status, 201, "{answer}");
        }
        drop(lock);
        Some(kinto)
    }

    /// Blocks until no other test makes or deletes a bucket, and keeps the
    /// others waiting until the client is dropped. To Kinto all buckets are
    /// records of one parent, whose times of change are unique to the
    /// millisecond: of two writes at the same time it answers one with 409.
    pub fn lock_buckets(&self) -> Client {
        let mut client = self.client();
        client.execute("SELECT pg_advisory_lock(409)", &[]).unwrap();
        client
    }

    pub fn bucket_path(&self) -> String {
        format!("/buckets/{}", self.bucket)
    }

    /// Returns an unused name for a bucket.
    pub fn without_bucket() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let (Some(url), Some(auth), Some(database)) = (
            variable("TEST_KINTO_URL"),
            variable("TEST_KINTO_AUTH"),
            variable("TEST_KINTO_DATABASE_URL"),
        ) else {
            left_out("Kinto (TEST_KINTO_URL, TEST_KINTO_AUTH, TEST_KINTO_DATABASE_URL)");
            return None;
        };
        let bucket = format!("test-{}", uuid::Uuid::new_v4());
        Some(Self {
            url,
            database,
            auth,
            bucket,
        })
    }

    /// Returns a program that uses the bucket.
    pub fn tool(&self, name: &str) -> Tool {
        self.at(name, &self.url)
    }

    /// Returns a program that uses the bucket through another URL.
    pub fn at(&self, name: &str, url: &str) -> Tool {
        Tool::new(name)
            .env("KINTO_AUTH", &self.auth)
            .env("KINTO_SERVER_URL", url)
            .env("KINTO_BUCKET", &self.bucket)
            .env("KINTO_COLLECTION", COLLECTION)
    }

    pub fn records_path(&self) -> String {
        format!("/buckets/{}/collections/{COLLECTION}/records", self.bucket)
    }

    /// Sends a request and returns the status and body of the response.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = url::Url::parse(&self.url).unwrap();
        let address = url.socket_addrs(|| None).unwrap()[0];
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} /v1{path} HTTP/1.1\r\nHost: kinto\r\nConnection: close\r\n\
             Authorization: Basic {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{text}",
            BASE64_STANDARD.encode(&self.auth),
            text.len()
        )
        .unwrap();
        let (head, body) = message(&stream, true).unwrap();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.database, NoTls).unwrap()
    }

    /// Inserts the records `release(n)` of `numbers` directly into Kinto's
    /// storage, the n-th changed `n` ms after the first.
    pub fn fill(&self, numbers: std::ops::Range<usize>) {
        let parent = format!("/buckets/{}/collections/{COLLECTION}", self.bucket);
        let records: Vec<Value> = numbers.clone().map(release).collect();
        let ids: Vec<String> = records.iter().map(id_of).collect();
        let changed: Vec<i64> = numbers.map(|n| FIRST + n as i64).collect();
        let data: Vec<String> = records.iter().map(Value::to_string).collect();
        let insert =
            "INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
            SELECT id, $1, 'record', from_epoch(changed), data::jsonb - 'id', false
            FROM unnest($2::text[], $3::bigint[], $4::text[]) AS new (id, changed, data)";
        let mut client = self.client();
        client.batch_execute("SET timezone TO 'UTC'").unwrap();
        client
            .execute(insert, &[&parent, &ids, &changed, &data])
            .unwrap();
    }

    /// Returns the live records by id, without the members that Kinto adds.
    pub fn stored(&self) -> std::collections::BTreeMap<String, Value> {
        let parent = format!("/buckets/{}/collections/{COLLECTION}", self.bucket);
        let query = "SELECT id, data::text FROM objects
            WHERE parent_id = $1 AND resource_name = 'record' AND NOT deleted";
        let rows = self.client().query(query, &[&parent]).unwrap();
        let record = |row: &postgres::Row| {
            let mut data: Value = serde_json::from_str(row.get(1)).unwrap();
            data.as_object_mut().unwrap().remove("schema");
            (row.get(0), data)
        };
        rows.iter().map(record).collect()
    }
}

impl Drop for Kinto {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _lock = self.lock_buckets();
            self.ask("DELETE", &self.bucket_path(), None);
        }
    }
}

/// When the first record of `fill` was changed.
pub const FIRST: i64 = 1_700_000_000_000;

pub fn id_of(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}

/// Returns the n-th release, with its id.
pub fn release(n: usize) -> Value {
    let mut release = super::sample::build(n);
    release["id"] = json!(format!("firefox_{n}_win64_fr"));
    release
}

/// A request to the stand-in: method, path with query, body.
pub type Asked = (String, String, Value);

/// A response of the stand-in: status, headers, body.
pub type Answer = (u16, Vec<(&'static str, String)>, Value);

/// A server whose responses the test defines.
pub struct StandIn {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// `answer` gets the number of the request, from 0, and the request; `None`
    /// closes the connection without a response.
    pub fn new(answer: impl Fn(usize, &Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (shared, answer) = (Arc::clone(&asked), Arc::new(answer));
        // It runs until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared, answer) =
                    (client.unwrap(), Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || serve(&client, &shared, &*answer));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut client: &TcpStream,
    asked: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(usize, &Asked) -> Option<Answer> + Send + Sync),
) {
    while let Some((head, body)) = message(client, true) {
        let mut words = head[0].split(' ').map(str::to_owned);
        let request = (
            words.next().unwrap(),
            words.next().unwrap(),
            serde_json::from_slice(&body).unwrap_or(Value::Null),
        );
        let number = {
            let mut asked = asked.lock().unwrap();
            asked.push(request.clone());
            asked.len() - 1
        };
        let Some((status, headers, body)) = answer(number, &request) else {
            return;
        };
        let text = match &*request.0 {
            "HEAD" => String::new(),
            _ => body.to_string(),
        };
        let mut out = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", text.len());
        for (name, value) in headers {
            out += &format!("{name}: {value}\r\n");
        }
        out += "\r\n";
        // The client may have left.
        if client.write_all((out + &text).as_bytes()).is_err() {
            return;
        }
    }
}

/// Answers like a Kinto with the records `release(0)` to `release(total - 1)`,
/// changed at 1 to `total` ms, which accepts every batch.
pub fn answer(total: usize, (method, path, body): &Asked) -> Answer {
    let url = url::Url::parse(&format!("http://kinto{path}")).unwrap();
    let number = |wanted: &str, otherwise: usize| {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(name, _)| name == wanted);
        found.map_or(otherwise, |(_, value)| value.parse().unwrap())
    };
    if path.ends_with("/batch") {
        let requests = body["requests"].as_array().unwrap();
        let path = |request: &Value| format!("/v1{}", request["path"].as_str().unwrap());
        let done = |request: &Value| json!({"status": 201, "path": path(request), "body": {}});
        let responses: Vec<Value> = requests.iter().map(done).collect();
        return (200, vec![], json!({"responses": responses}));
    }
    if !path.contains("/records") {
        let settings = json!({"batch_max_requests": 25});
        return (200, vec![], json!({"settings": settings}));
    }
    let after = number("gt_last_modified", 0).max(number("_token", 0));
    let through = number("max_last_modified", total).min(total);
    let limit = number("_limit", 1000);
    let etag = ("etag", format!("\"{total}\""));
    if method == "HEAD" {
        let count = through.saturating_sub(after).to_string();
        return (200, vec![etag, ("total-records", count)], Value::Null);
    }
    let last = (after + limit).min(through);
    let data: Vec<Value> = (after..last)
        .map(|n| {
            let mut record = release(n);
            record["last_modified"] = json!(n + 1);
            record
        })
        .collect();
    let mut headers = vec![etag];
    if last < through {
        let next =
            format!("http://inside:1/x?_limit={limit}&_token={last}&max_last_modified={through}");
        headers.push(("next-page", next));
    }
    (200, headers, json!({"data": data}))
}
