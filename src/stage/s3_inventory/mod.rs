//! s3-inventory: a record for each row of an S3 inventory, a mark for each file.

mod file;
mod find;
mod gzip;
mod location;
mod parquet;
mod parquet_pages;
mod parquet_schema;
mod position;
mod proof;
mod read;
mod root;
mod row_buffer;
mod send;
mod state;
mod write;

use std::path::PathBuf;

use clap::Parser;

use self::find::Inventory;
use self::location::LazyS3;
use self::proof::Proof;
use self::read::Readers;
use self::state::InventorySource;
use self::write::InventoryWriter;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::inventory::columns::USUAL;
use crate::inventory::row::InventoryRowOptions;
use crate::ndjson::{self, Io, Place, WriteMarks};
use crate::remote::s3::S3Args;
use crate::resume::{self, Recorder, ResumeArgs, RunState};

/// Read an S3 inventory, one record per row
#[derive(Debug, Parser)]
#[command(
    name = "s3-inventory",
    before_help = "\
Examples:
  zcat *.csv.gz | s3-inventory | bh-filter | bh-fetch | bh-validate | bh-load
  s3-inventory --resume-file inventory.json --resume --latest s3://bucket/inventories/all/ |
    bh-filter | bh-fetch | bh-validate | bh-load --resume-file inventory.json
  s3-inventory --columns 'Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size' data/
  s3-inventory --no-marks --mozilla firefox | jq -r .key"
)]
pub struct Args {
    /// Files (.csv, .csv.gz, .parquet), folders of them, or a manifest.json, local or at s3://; standard input if there are none, or with -
    #[arg(value_name = "INPUT")]
    inputs: Vec<String>,

    /// Names of the columns, if there is no manifest: all of them for CSV, some for Parquet
    #[arg(long, value_name = "NAMES", help = format!("Names of the columns, if there is no \
                                                      manifest: all of them for CSV, some for \
                                                      Parquet [default in CSV: {USUAL}]"))]
    columns: Option<String>,

    /// Read the newest inventory in the dated folders below this s3://bucket/prefix/
    #[arg(long, value_name = "URL", conflicts_with = "inputs")]
    latest: Option<String>,

    /// Read the newest inventory that Mozilla publishes under this name
    #[arg(long, value_name = "NAME", value_enum, conflicts_with_all = ["inputs", "latest", "files"])]
    mozilla: Option<Mozilla>,

    /// Save the manifest to this file; if the file exists, use it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["inputs", "files"])]
    keep_manifest: Option<PathBuf>,

    /// Where the files of the manifest are: a folder, or s3://bucket/prefix/ to put before their keys [default: the manifest's bucket, or the destination bucket of a local manifest]
    #[arg(long, value_name = "PLACE")]
    files: Option<String>,

    /// Do not URL-decode keys in CSV
    #[arg(long)]
    raw_keys: bool,

    /// Include all versions of an object, not just the latest
    #[arg(long)]
    all_versions: bool,

    /// Include delete markers
    #[arg(long)]
    delete_markers: bool,

    #[command(flatten)]
    state: ResumeArgs,

    /// Maximum number of files read concurrently [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

/// The inventories that Mozilla publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mozilla {
    Firefox,
    Archive,
}

impl Program for Args {
    const PLACE: Place = Place::Source;
    const READS_LINES: bool = false;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn write_marks(&self) -> WriteMarks {
        self.state.write_marks()
    }

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        resume::files(self.state.resume_file.as_deref())
    }
}

impl Args {
    /// Returns what of the command line decides what a row becomes.
    fn reading(&self) -> String {
        let columns = self.columns.as_deref().unwrap_or(USUAL);
        let flags = [
            (self.raw_keys, ", raw keys"),
            (self.all_versions, ", all versions"),
            (self.delete_markers, ", delete markers"),
        ];
        let given = flags.iter().filter(|(is_given, _)| *is_given);
        given.fold(columns.to_owned(), |text, (_, flag)| text + flag)
    }

    /// Returns which rows become records, and how.
    fn row_options(&self) -> InventoryRowOptions {
        InventoryRowOptions {
            raw_keys: self.raw_keys,
            all_versions: self.all_versions,
            delete_markers: self.delete_markers,
        }
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let s3 = LazyS3::new(args, io);
    let inventory = Inventory::find(args, &s3)?;
    if inventory.streamed().is_some() && io.input.is_terminal() {
        return Err(Error::usage(
            "standard input is a terminal: name files, or pipe CSV in; --help has examples",
        ));
    }
    let source = InventorySource::new(&inventory, &s3, args.reading());
    let trust = |listed: &mut RunState<InventorySource>| listed.trust(inventory.streamed());
    let (mut file, listed) = resume::open(&args.state, source, trust, io)?;
    if let Some(file) = &mut file {
        file.save(&listed)?;
    }
    let gaps = position::gaps(&listed.coverage, inventory.files.len())?;
    let is_new = listed.coverage.is_empty();
    let lanes = args.concurrency.map_or_else(ndjson::cores, usize::from);
    let proof = Proof::new(&listed.source.checks);
    let recorder = Recorder::new(listed, file, io.output.stream().file()?);
    let mut writer = InventoryWriter::new(recorder);
    let (readers, feeds) = Readers::new(&inventory, args.row_options(), &s3, gaps);
    let Io {
        input,
        output,
        context,
    } = io;
    let Context {
        counters, shutdown, ..
    } = context;
    let done = ndjson::with_reader(
        shutdown,
        || {
            readers.run(lanes, (input, proof));
            Ok(())
        },
        || {
            writer.recorder.begin(output)?;
            writer.write(&inventory, feeds, output, counters, shutdown)
        },
    );
    s3.close();
    if done.is_ok() && is_new && counters.snapshot().0 == 0 {
        context
            .log
            .warn("the inventory has no rows: if some were expected, look at where it comes from");
    }
    let path = args.state.resume_file.as_deref();
    writer.recorder.conclude(done, path, io)
}
