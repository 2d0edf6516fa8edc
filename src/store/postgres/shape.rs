//! Checks that `main_build` is Buildhub's table.

use postgres::Client;
use postgres::types::Type;

use super::schema::qualify;
use crate::error::Kind;
use crate::retry::Failure;
use crate::store::LONGEST;

/// A column: its name, the types it may have, the width it needs, and whether
/// it may be NULL.
type ExpectedColumn = (&'static str, &'static [&'static str], Option<usize>, bool);

const COLUMNS: &[ExpectedColumn] = &[
    ("id", &["integer", "bigint"], None, false),
    (
        "build_hash",
        &["character varying", "text"],
        Some(45),
        false,
    ),
    ("build", &["jsonb"], None, false),
    ("metadata", &["jsonb"], None, false),
    ("created_at", &["timestamp with time zone"], None, false),
    (
        "s3_object_key",
        &["character varying", "text"],
        Some(LONGEST),
        true,
    ),
    (
        "s3_object_etag",
        &["character varying", "text"],
        Some(LONGEST),
        true,
    ),
];

struct FoundColumn {
    name: String,
    data_type: String,
    /// In characters; `None` without a limit.
    width: Option<usize>,
    nullable: bool,
    filled: bool,
}

/// Checks that the table in `schema` has the columns that are needed.
///
/// # Errors
/// The table has another shape (78), or the server failed.
pub fn check(client: &mut Client, schema: &str) -> Result<(), Failure> {
    let rows = client.query_typed(
        "SELECT column_name::text, data_type::text, character_maximum_length::int,
                is_nullable = 'YES', column_default IS NOT NULL OR is_identity = 'YES'
         FROM information_schema.columns
         WHERE table_schema = $1 AND table_name = 'main_build'",
        &[(&schema, Type::TEXT)],
    )?;
    let found: Vec<FoundColumn> = rows
        .iter()
        .map(|row| FoundColumn {
            name: row.get(0),
            data_type: row.get(1),
            width: row
                .get::<_, Option<i32>>(2)
                .and_then(|width| usize::try_from(width).ok()),
            nullable: row.get(3),
            filled: row.get(4),
        })
        .collect();
    // Without any right to the table its columns are not shown: a query will say so.
    if found.is_empty() {
        return Ok(());
    }
    let mut differences = differences(&found);
    let unique = "SELECT EXISTS (
            SELECT FROM pg_index i JOIN pg_attribute a
              ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = 'main_build'::regclass AND i.indisunique
              AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = 'build_hash')";
    let unique = client.query_typed_one(&qualify(schema, unique), &[])?;
    if !unique.get::<_, bool>(0) {
        differences.push("build_hash is not unique".to_owned());
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::permanent(
        Kind::Configuration,
        format!(
            "the table main_build has another shape: {}; use another database or schema",
            differences.join("; ")
        ),
    ))
}

fn differences(found: &[FoundColumn]) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, types, width, nullable) in COLUMNS {
        let Some(own) = found.iter().find(|column| column.name == *name) else {
            differences.push(format!("no column {name}"));
            continue;
        };
        if !types.contains(&own.data_type.as_str()) {
            differences.push(format!("{name} is {}, not {}", own.data_type, types[0]));
        }
        if let (Some(needed), Some(width)) = (width, own.width)
            && width < *needed
        {
            differences.push(format!("{name} holds {width} characters, not {needed}"));
        }
        if *nullable && !own.nullable {
            differences.push(format!("{name} may not be NULL"));
        }
        if *name == "id" && !own.filled {
            differences.push("id has no default".to_owned());
        }
    }
    let known = |name: &str| COLUMNS.iter().any(|column| column.0 == name);
    for own in found.iter().filter(|own| !known(&own.name)) {
        if !own.nullable && !own.filled {
            differences.push(format!("{} needs a value", own.name));
        }
    }
    differences
}
