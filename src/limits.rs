//! How much is read of what comes from outside. docs/limits.md has the same table, which a test
//! compares.

/// A page of a listing.
pub const LISTING_PAGE: usize = 16 << 20;
/// An element of a page.
pub const LISTING_ELEMENT: usize = 1 << 20;
/// The body of an error, from any server.
pub const EXPLANATION: usize = 64 << 10;
/// A response of Kinto, the archive or Elasticsearch, decompressed.
pub const RESPONSE: usize = 64 << 20;
/// A manifest or a checksum of an inventory, decompressed.
pub const MANIFEST: u64 = 64 << 20;
/// A line of NDJSON.
pub const LINE: usize = 256 << 20;
/// A CSV row.
pub const CSV_ROW: usize = 16 << 20;
/// A CSV row that spans several lines.
pub const CSV_LINES: usize = 16 << 10;
/// A page of a Parquet file, decompressed.
pub const PARQUET_PAGE: u64 = 32 << 20;
/// A text in a row of Parquet.
pub const PARQUET_TEXT: usize = 16 << 10;
/// The bodies that `bh-fetch` holds, besides the one to be written next.
pub const BODIES: u64 = 16 << 20;
