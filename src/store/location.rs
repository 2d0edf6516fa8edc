//! Where a database is, and the ways to open it.

use std::path::PathBuf;
use std::sync::Arc;

use super::postgres::{self, Access, SchemaName};
use super::{
    AuditStore, ExportStore, IndexedStore, IntoArgs, PromotionStore, RebuildStore, Store, sqlite,
};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ndjson::Io;

/// Which database is used.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// sqlite:FILE or postgres://… [default: sqlite:buildhub.db]
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        help_heading = "Database"
    )]
    pub database: Option<String>,

    /// Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Database")]
    pub tries: Option<u32>,
}

/// The SQLite file that is used if no database is named.
pub const DEFAULT_FILE: &str = "./buildhub.db";

/// Returns the database of the flag, the environment or the default.
fn choose(args: &DatabaseArgs) -> Result<Address> {
    let Some(url) = args.named() else {
        return sqlite::parse_path(DEFAULT_FILE).map(Address::sqlite);
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite::parse_path(path).map(Address::sqlite);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Address::Postgres(postgres::PostgresPlace {
            url: url.to_owned(),
            tries: args.tries,
            schema: SchemaName::default(),
        }));
    }
    // A text with more than a name may hold a password.
    let is_name = !url.contains([':', '@', '?']);
    Err(Error::usage(if is_name {
        format!("{url:?} is not the URL of a database; did you mean sqlite:{url}?")
    } else {
        "not the URL of a database: it must begin with sqlite: or postgres://".to_owned()
    }))
}

impl DatabaseArgs {
    /// Returns the URL of the flag or the environment.
    fn named(&self) -> Option<&str> {
        self.database.as_deref().filter(|url| !url.is_empty())
    }
}

#[derive(Clone)]
enum Address {
    Sqlite(sqlite::SqlitePlace),
    Postgres(postgres::PostgresPlace),
}

impl Address {
    fn sqlite(path: PathBuf) -> Self {
        Self::Sqlite(sqlite::SqlitePlace {
            path,
            staging: None,
        })
    }
}

/// A database that is open for reading.
trait ReadStore: AuditStore + ExportStore + IndexedStore {}

impl<T: AuditStore + ExportStore + IndexedStore> ReadStore for T {}

/// A database that is not open yet.
#[derive(Clone)]
pub struct Location {
    address: Address,
    /// No database was named.
    pub is_default: bool,
    context: Context,
}

impl Location {
    /// Reads the flag or the environment.
    ///
    /// # Errors
    /// Not the URL of a database (2).
    pub fn new(args: &DatabaseArgs, io: &Io) -> Result<Self> {
        Ok(Self {
            address: choose(args)?,
            is_default: args.named().is_none(),
            context: io.context.clone(),
        })
    }

    /// Returns the place of the staging that is named, or of the database itself.
    ///
    /// # Errors
    /// The staging would be the file of the database (2).
    pub fn into_staging(mut self, args: &IntoArgs) -> Result<Self> {
        if let Some(name) = args.into {
            match &mut self.address {
                Address::Sqlite(place) => *place = place.staging(name)?,
                Address::Postgres(place) => place.schema = name.into(),
            }
        }
        Ok(self)
    }

    /// Returns its URL, without password.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.address {
            Address::Sqlite(place) => sqlite::address(&place.path),
            Address::Postgres(place) => place.address(),
        }
    }

    /// Opens it for reading; `None` if there is no database file yet.
    pub fn open_existing(&self) -> Result<Option<Box<dyn Store>>> {
        Ok(self.open_audited()?.map(|store| store as Box<dyn Store>))
    }

    /// Does the same, for comparing it.
    pub fn open_audited(&self) -> Result<Option<Box<dyn AuditStore>>> {
        Ok(self.open_read()?.map(|store| store as Box<dyn AuditStore>))
    }

    /// Does the same, for comparing it with its index.
    pub fn open_indexed(&self) -> Result<Option<Box<dyn IndexedStore>>> {
        Ok(self
            .open_read()?
            .map(|store| store as Box<dyn IndexedStore>))
    }

    /// Does the same, for exporting it.
    pub fn open_exported(&self) -> Result<Option<Box<dyn ExportStore>>> {
        Ok(self.open_read()?.map(|store| store as Box<dyn ExportStore>))
    }

    /// Opens it with its stagings. With `writes`, an SQLite file and tables that are missing are
    /// created; otherwise there may be stagings without them.
    pub fn open_promoted(&self, writes: bool) -> Result<Box<dyn PromotionStore>> {
        Ok(match &self.address {
            Address::Sqlite(place) => {
                Box::new(sqlite::MainFile::open(place, writes, &self.context.log)?)
            }
            Address::Postgres(place) => {
                let access = if writes {
                    Access::Load(Arc::default())
                } else {
                    Access::Read
                };
                Box::new(postgres::Postgres::open(place, &self.context, access)?)
            }
        })
    }

    fn open_read(&self) -> Result<Option<Box<dyn ReadStore>>> {
        match &self.address {
            Address::Sqlite(place) => match place.path.try_exists() {
                Ok(true) => Ok(Some(Box::new(sqlite::Sqlite::open(
                    place,
                    true,
                    &self.context.log,
                )?))),
                Ok(false) => Ok(None),
                Err(error) => Err(Error::local(place.path.display())(error)),
            },
            Address::Postgres(place) => {
                let store = postgres::Postgres::open(place, &self.context, Access::Read)?;
                Ok(Some(Box::new(store)))
            }
        }
    }

    /// Returns whether a loader has created its tables.
    pub fn has_tables(&self) -> Result<bool> {
        self.open_existing()?
            .map_or(Ok(false), |mut store| store.has_tables())
    }

    /// Prepares loading; an SQLite file and its tables are created if missing.
    pub fn connector(self) -> Result<Connector> {
        Ok(match self.address {
            Address::Sqlite(place) => {
                Connector::Sqlite(sqlite::Sqlite::open(&place, false, &self.context.log)?)
            }
            Address::Postgres(place) => {
                let access = Access::Load(Arc::default());
                Connector::Postgres(place, self.context, access)
            }
        })
    }
}

/// Opens a store for loading, once per thread.
pub enum Connector {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::PostgresPlace, Context, Access),
}

impl Connector {
    /// Returns the store for one thread: its own connection to PostgreSQL, the
    /// shared one to SQLite, where only one writes at a time.
    pub fn connect(&self) -> Result<Box<dyn Store>> {
        Ok(self.connect_indexed()?)
    }

    /// Does the same, for comparing the rows with an index.
    pub fn connect_indexed(&self) -> Result<Box<dyn IndexedStore>> {
        Ok(self.connect_rebuild()?)
    }

    /// Does the same, for filling another index.
    pub fn connect_rebuild(&self) -> Result<Box<dyn RebuildStore>> {
        Ok(match self {
            Self::Sqlite(store) => Box::new(store.clone()),
            Self::Postgres(place, context, access) => {
                Box::new(postgres::Postgres::open(place, context, access.clone())?)
            }
        })
    }
}
