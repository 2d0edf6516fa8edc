//! A database of its own on the server that TEST_DATABASE_URL names.

use postgres::{Client, NoTls};

use super::left_out;

pub struct Database {
    pub url: String,
}

impl Database {
    /// A new empty database; `None` where there is no server.
    pub fn new() -> Option<Self> {
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
            left_out("PostgreSQL (TEST_DATABASE_URL)");
            return None;
        };
        Some(Self::on(&server))
    }

    /// A new empty database on `server`.
    pub fn on(server: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut client = Client::connect(server, NoTls).unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self { url: url.into() }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub fn count(&self, query: &str) -> i64 {
        self.client().query_one(query, &[]).unwrap().get(0)
    }
}
