//! The columns of an inventory.

use std::fmt;

/// The columns that a record is made of; others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Bucket,
    Key,
    VersionId,
    IsLatest,
    IsDeleteMarker,
    Size,
    LastModifiedDate,
    ETag,
}

impl Column {
    const ALL: [Self; 8] = [
        Self::Bucket,
        Self::Key,
        Self::VersionId,
        Self::IsLatest,
        Self::IsDeleteMarker,
        Self::Size,
        Self::LastModifiedDate,
        Self::ETag,
    ];

    /// Returns the column of this name, as in CSV (`IsLatest`) or Parquet
    /// (`is_latest`).
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let name = plain(name);
        let named = |column: &Self| plain(&column.to_string()) == name;
        Self::ALL.into_iter().find(named)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The position of each column in a row, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    places: [Option<usize>; Column::ALL.len()],
    /// The number of columns through the last one that a record needs.
    pub width: usize,
    names: Vec<String>,
    /// The number of columns, if it is known.
    pub all: Option<usize>,
}

/// The columns of an inventory without a manifest.
pub const USUAL: &str = "Bucket, Key, Size, LastModifiedDate, ETag";

impl Layout {
    /// Parses names separated by commas.
    ///
    /// # Errors
    /// A column is missing, or named twice.
    pub fn parse(names: &str) -> Result<Self, String> {
        Self::new(names.split(',').map(str::trim))
    }

    /// Returns the layout of columns with these names.
    ///
    /// # Errors
    /// A column is missing, or named twice.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut layout = Self {
            places: [None; Column::ALL.len()],
            width: 0,
            names: Vec::new(),
            all: None,
        };
        for (at, name) in names.into_iter().enumerate() {
            layout.names.push(name.to_owned());
            let Some(column) = Column::parse(name) else {
                continue;
            };
            if layout.places[column as usize].replace(at).is_some() {
                return Err(format!("the column {column} is named twice"));
            }
            layout.width = at + 1;
        }
        for column in [Column::Bucket, Column::Key] {
            if layout.place(column).is_none() {
                return Err(format!("the column {column} is missing"));
            }
        }
        Ok(layout)
    }

    /// Requires rows of CSV to have exactly the named columns, and Parquet to have those of
    /// them that a record is made of.
    pub fn complete(self) -> Self {
        let all = Some(self.names.len());
        Self { all, ..self }
    }

    /// Returns whether a row is a line of names.
    pub fn is_header(fields: &[&[u8]]) -> bool {
        let name = |field: &&[u8]| Column::parse(std::str::from_utf8(field).ok()?);
        fields.iter().any(|field| name(field).is_some())
    }

    /// Returns the names of the columns, as they were given.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// Returns a required column that is not in `found`.
    pub fn lacking(&self, found: &[Column]) -> Option<Column> {
        let required = |column: &Column| self.all.is_some() && self.place(*column).is_some();
        let lacks = |column: &Column| required(column) && !found.contains(column);
        Column::ALL.into_iter().find(lacks)
    }

    /// Returns the last column of all, if a record is made of it.
    pub fn last(&self) -> Option<Column> {
        let last = self.names.len().checked_sub(1);
        Column::ALL
            .into_iter()
            .find(|column| self.place(*column) == last)
    }

    /// Returns the position of a column in a row, from 0; `None` if rows do not have it.
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }
}
