//! The columns of a Parquet file: each has to be there, and of a type that is read.

use parquet::basic::{ConvertedType as As, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::parser::parse_message_type;
use parquet::schema::printer::print_schema;
use parquet::schema::types::Type;

use crate::inventory::columns::{Column, Layout};

/// The columns that a record is made of, in the order of the file.
pub struct ParquetColumns {
    pub columns: Vec<Column>,
    /// Whether times are in nanoseconds, which the values do not say.
    pub has_nanoseconds: bool,
}

/// Returns the columns that a record is made of.
///
/// # Errors
/// One that is needed, or that `layout` requires, is missing; one is of another type.
pub fn columns(schema: &Type, layout: &Layout) -> Result<ParquetColumns, String> {
    let fields = schema.get_fields();
    let with_names = |error: String| {
        let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
        format!("{error}; its columns are {}", names.join(", "))
    };
    Layout::new(fields.iter().map(|field| field.name())).map_err(with_names)?;
    let mut columns = Vec::new();
    let mut has_nanoseconds = false;
    for field in fields {
        if let Some(column) = Column::parse(field.name()) {
            check(column, field)?;
            columns.push(column);
            has_nanoseconds |= is_in_nanoseconds(field);
        }
    }
    match layout.lacking(&columns) {
        Some(column) => Err(with_names(format!(
            "the column {column}, which the manifest or --columns names, is missing"
        ))),
        None => Ok(ParquetColumns {
            columns,
            has_nanoseconds,
        }),
    }
}

/// Returns the columns that the schema in a manifest names; `None` if it cannot be read.
pub fn promised(schema: &str) -> Option<Result<Layout, String>> {
    let schema = parse_message_type(schema).ok()?;
    let names = schema.get_fields().iter().map(|field| field.name());
    Some(Layout::new(names).map(Layout::complete))
}

fn check(column: Column, field: &Type) -> Result<(), String> {
    if is_read(column, field) {
        return Ok(());
    }
    let mut found = Vec::new();
    print_schema(&mut found, field);
    let found = String::from_utf8_lossy(&found);
    let found: Vec<&str> = found.split_whitespace().collect();
    Err(format!(
        "the column {column} is of another type, {}; expected {}",
        found.join(" ").trim_end_matches(';'),
        match column {
            Column::Size => "a number",
            Column::LastModifiedDate => "a timestamp, or text",
            Column::IsLatest | Column::IsDeleteMarker => "BOOLEAN, or text",
            Column::Bucket | Column::Key | Column::VersionId | Column::ETag => "text",
        }
    ))
}

fn is_in_nanoseconds(field: &Type) -> bool {
    let of = field.get_basic_info().logical_type_ref();
    matches!(of, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS)
}

fn is_read(column: Column, field: &Type) -> bool {
    let info = field.get_basic_info();
    if !field.is_primitive() || info.repetition() == Repetition::REPEATED {
        return false;
    }
    // Without this, a time in nanoseconds looks like any other number.
    let is_plain = info.logical_type_ref().is_none();
    let is_flag = matches!(column, Column::IsLatest | Column::IsDeleteMarker);
    let is_size = column == Column::Size;
    let is_time = column == Column::LastModifiedDate;
    match (field.get_physical_type(), info.converted_type()) {
        (Physical::BYTE_ARRAY, As::NONE | As::UTF8 | As::ENUM | As::JSON | As::BSON) => true,
        (Physical::FIXED_LEN_BYTE_ARRAY, As::NONE) => is_plain,
        (Physical::BOOLEAN, _) => is_flag,
        (Physical::INT96, _) | (Physical::INT64, As::TIMESTAMP_MILLIS | As::TIMESTAMP_MICROS) => {
            is_time
        }
        (Physical::INT64, As::NONE) if is_in_nanoseconds(field) => is_time,
        (Physical::INT64, As::NONE) => is_plain && (is_size || is_time),
        (Physical::INT64, As::INT_64) => is_size || is_time,
        (Physical::INT32, As::NONE) => is_plain && is_size,
        (Physical::INT32, As::DATE | As::TIME_MILLIS) | (Physical::INT64, As::TIME_MICROS) => false,
        (Physical::INT32 | Physical::INT64 | Physical::FLOAT | Physical::DOUBLE, _) => is_size,
        (_, of) => of == As::DECIMAL && is_size,
    }
}
