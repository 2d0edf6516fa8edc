//! The schema of a staging: whether it is one, and whether rows may be added.

use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, Transaction};

use super::definitions::COUNT;
use super::failure::describe;
use super::schema::{SchemaName, quoted};
use super::tables::{Found, IDENTITY};
use super::{outbox, runs};
use crate::error::Kind;
use crate::retry::Failure;
use crate::store::{StagingName, staging};

/// Creates the schema of a staging; one that is there already is used.
pub fn create_schema(transaction: &mut Transaction<'_>, name: StagingName) -> Result<(), Failure> {
    let is_there = "SELECT to_regnamespace(quote_ident($1)) IS NOT NULL";
    let values = [(&name.as_str() as &(dyn ToSql + Sync), Type::TEXT)];
    if transaction.query_typed_one(is_there, &values)?.try_get(0)? {
        return Ok(());
    }
    let create = format!("CREATE SCHEMA {}", quoted(name.as_str()));
    transaction.batch_execute(&create).map_err(|error| {
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return Failure::from(error);
        }
        let message = format!(
            "cannot create the schema {name}: {}; as the owner of the database, create it for this \
             role: CREATE SCHEMA {} AUTHORIZATION …",
            describe(&error),
            quoted(name.as_str())
        );
        Failure::permanent(Kind::Configuration, message)
    })
}

/// Checks that rows may be added: not to a staging that was promoted, nor to one that is named
/// as if it were a main database.
pub fn check_open(
    client: &mut Client,
    schema: SchemaName,
    found: &[Option<Found>; COUNT],
) -> Result<(), Failure> {
    if schema.staging().is_some() {
        return runs::refuse_promoted(client, schema);
    }
    let Some(place) = &found[IDENTITY] else {
        return Ok(());
    };
    if outbox::identity(client, schema, "")?
        .id
        .starts_with(staging::MARK)
    {
        let place = format!("the schema {}", place.schema);
        return Err(Failure::Permanent(staging::is_a_staging(&place)));
    }
    Ok(())
}

/// Checks that the tables in a schema are those of a staging.
pub fn check_staging(
    client: &mut Client,
    name: StagingName,
    found: &[Option<Found>; COUNT],
) -> Result<(), Failure> {
    let is_staging = match found[IDENTITY] {
        Some(_) => {
            let identity = outbox::identity(client, SchemaName::from(name), "")?;
            identity.id.starts_with(staging::MARK)
        }
        None => found.iter().all(Option::is_none),
    };
    if is_staging {
        return Ok(());
    }
    let place = format!("the schema {name}");
    Err(Failure::Permanent(staging::not_a_staging(name, &place)))
}
