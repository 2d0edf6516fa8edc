//! Databases on the server that TEST_DATABASE_URL names.

use postgres::{Client, NoTls};

use super::left_out;

/// It is dropped with the test that made it.
pub struct Database {
    pub url: String,
    /// `None` for a schema of another one.
    server: Option<String>,
}

impl Database {
    /// Makes an empty database; `None` if there is no server.
    pub fn new() -> Option<Self> {
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
            left_out("PostgreSQL (TEST_DATABASE_URL)");
            return None;
        };
        Some(Self::on(&server))
    }

    /// Makes an empty database with the options of CREATE DATABASE.
    pub fn with(options: &str) -> Option<Self> {
        let database = Self::new()?;
        let name = database.url.rsplit_once('/').map_or("", |(_, name)| name);
        let mut client = Client::connect(database.server.as_ref().unwrap(), NoTls).unwrap();
        let (drop, create) = (
            format!("DROP DATABASE {name}"),
            format!("CREATE DATABASE {name} {options}"),
        );
        client.batch_execute(&drop).unwrap();
        client.batch_execute(&create).unwrap();
        Some(database)
    }

    /// Makes an empty database on `server`.
    pub fn on(server: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut client = Client::connect(server, NoTls).unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self {
            url: url.into(),
            server: Some(server.to_owned()),
        }
    }

    /// Returns a schema of this database as if it were a database of its own.
    pub fn schema(&self, name: &str) -> Self {
        let mut url = url::Url::parse(&self.url).unwrap();
        url.set_query(Some(&format!("options=-csearch_path%3D{name}")));
        Self {
            url: url.into(),
            server: None,
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub fn count(&self, query: &str) -> i64 {
        self.client().query_one(query, &[]).unwrap().get(0)
    }
}

impl Drop for Database {
    /// The server may have stopped before.
    fn drop(&mut self) {
        let Some(server) = &self.server else { return };
        if let Ok(mut client) = Client::connect(server, NoTls) {
            let name = self.url.rsplit_once('/').map_or("", |(_, name)| name);
            drop(client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")));
        }
    }
}

/// A role without any rights but to log in; its objects in `database` go with it.
pub struct Role<'a> {
    pub name: String,
    /// The database as this role.
    pub url: String,
    database: &'a Database,
}

impl<'a> Role<'a> {
    pub fn new(database: &'a Database) -> Self {
        let name = format!("role_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'");
        database.client().batch_execute(&create).unwrap();
        let mut url = url::Url::parse(&database.url).unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some("secret")).unwrap();
        Self {
            name,
            url: url.into(),
            database,
        }
    }

    /// Executes statements in which `ROLE` stands for its name.
    pub fn execute(&self, statements: &str) {
        let statements = statements.replace("ROLE", &self.name);
        self.database.client().batch_execute(&statements).unwrap();
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let drop = format!("DROP OWNED BY {0} CASCADE; DROP ROLE {0}", self.name);
        if let Err(error) = self.database.client().batch_execute(&drop) {
            eprintln!("{}: {error}", self.name);
        }
    }
}
