//! Writes the man pages of the programs, and their completions for bash, zsh
//! and fish, out of the tables and the arguments that the programs have:
//!
//! ```sh
//! cargo run --release --example manual -- man completions
//! ```

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use buildhub_pipes::error::STATUSES;
use buildhub_pipes::stage::{STAGES, Stage};
use clap::Parser;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What a page says beyond the arguments of its program.
struct Page {
    name: &'static str,
    /// Paragraphs.
    description: &'static [&'static str],
    /// Pairs of a name and what it is for.
    files: &'static [Entry],
    environment: &'static [&'static [Entry]],
}

type Entry = (&'static str, &'static str);

const PAGES: &[Page] = &[
    Page {
        name: "s3-list",
        description: &[
            "Asks for the keys of a bucket, or of a prefix, many pages at a time, and writes a \
             record for each key. Keys are the real ones, whatever they hold. The first line is the \
             begin mark. After the records of a page comes its mark, which says from where to where \
             all keys have been listed, and how many; after the last page comes the end mark. On a \
             terminal, and with --no-marks, there are records alone.",
            "Pages come in no order, since S3 gives them one after the other only: free \
             connections guess where the rest of the bucket can be cut in two, from the folders \
             and the keys seen so far. A wrong guess costs a request and never a key; the summary \
             has the requests beside the pages. Folders are looked into with a delimiter; where \
             that is refused, as by a policy for one prefix alone, the names of the keys have to \
             do. With --ordered keys come in byte order, nearly as \
             fast: what comes too early waits in memory, and behind 16 MiB in a file without a \
             name in TMPDIR, which may grow to the size of the listing. --concurrency 1 lists page \
             after page.",
            "With --resume-file the state is kept while the program lists: a page is recorded as \
             soon as the state before it is on disk, and only after its lines have left. With \
             --resume the listing \
             goes on in the gaps of what is done: of what bh-load has confirmed, where it takes \
             part with the same --resume-file; else of what was listed. A run is finished when it \
             is listed completely and bh-load has confirmed all of it, and is then followed by a \
             new one, so a timer may always pass --resume. Pages that are listed and not confirmed \
             are listed once more; after that the run is closed, and the next one lists everything, \
             so that an object which fails every time does not keep new keys from being listed. A \
             new run knows from a sample of the keys where to cut, so all connections are busy at \
             once. Which of these \
             it took is said on standard error; --checkpoint decides it by hand. The file belongs \
             to one address, bucket, prefix, and set of bounds or ranges: another listing is \
             refused with it (78), and so is a damaged file (78) and a second run at the same time \
             (75). --show-state tells what a file holds.",
            "To share a bucket among machines, --plan N prints N ranges of about equal size after \
             about 20 requests a range, and --ranges lists those that it reads, each machine with a \
             resume file of its own. Ranges of a whole plan join without gap or overlap. --shard \
             I/N takes every N-th range of a whole plan; without --ranges it makes the plan now, \
             and says which: on a bucket that changes meanwhile, shards may make different ones.",
            "A server that answers SlowDown gets half as many requests at a time, for all workers \
             together, and with each round of answers one more.",
            "A request that fails in passing (no answer, 5xx, SlowDown, an answer cut short) is \
             tried again after a wait drawn at random below a bound that doubles, and not before \
             the time the server asks for. A server whose pages make no progress is not listed \
             for ever: that is an error (78).",
            "Some servers end a listing too early: MinIO does where it starts inside a folder \
             such as 60.0/ beside 60.0.1/. Pages therefore have to agree with each other. What \
             contradicts is named in a warning and listed again, one folder at a time, and the \
             summary counts it. Where that does not help, and where a server ignores the prefix, \
             the run ends with 78.",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[S3, TERMINAL],
    },
    Page {
        name: "s3-inventory",
        description: &[
            "Reads an inventory that S3 has made of a bucket, and writes a record for each row, as \
             s3-list would: CSV from standard input, without a header line; files and folders of \
             .csv.gz (of any number of gzip members), .csv and .parquet; or the files that a \
             manifest.json names. What a file is is told by its first bytes. Several files are \
             inflated at once, and rows made into records on all cores; records come in the order \
             of the files, in a folder that of their names.",
            "A manifest says in which columns what stands, and the size and MD5 of each file. The \
             files come from its own bucket, as they are read, and for a manifest that is here \
             from its destination bucket; --files names another place. --latest finds the newest \
             folder with a name such as 2026-11-21T01-00Z below a prefix, passing over others, and \
             reads its manifest. Parquet from a bucket waits in a file without a name in TMPDIR, \
             and is checked before its first row is read. A manifest is compared with the \
             manifest.checksum beside it, where there is one, and each row with the bucket that \
             the manifest is of.",
            "Without a manifest the columns of CSV are Bucket, Key, Size, LastModifiedDate and \
             ETag, and columns behind these are passed over; --columns names all that a row has. \
             Names may be written as in CSV (IsLatest) or in Parquet (is_latest), columns of \
             other names are passed over. If the first row of a file does not fit its columns, \
             if a column of Parquet is missing or of another type, or if the file is no CSV \
             (ORC, zstd, zip, HTML), the run ends with 78 before a row is read. Each row has as \
             many columns as the first one. Keys are URL-decoded in CSV, and taken as they stand \
             in Parquet or with --raw-keys. Of versions the latest is taken, and no delete marker, \
             unless --all-versions and --delete-markers ask for them: their records have \
             version_id, is_latest and is_delete_marker too.",
            "--mozilla firefox and --mozilla archive read the newest inventory that Mozilla \
             publishes: its bucket, prefix and region are built in, requests are not signed, and \
             the files lie below public/.",
            "A row that is no record (other columns than the first row has, a size, date or ETag \
             that is none, a key that is not UTF-8 or not URL-encoded) is rejected with its file \
             and line. An object that is replaced while it is read, and a gzip file that \
             is cut, end the run with 75, one that is damaged or not what its manifest says with \
             78: rows before that have been written, but the file's mark has not.",
            "After the rows of a file, once it is checked, comes its mark; in standard input \
             about every 100,000 lines. With --resume-file the state is kept as s3-list keeps \
             it, and --resume goes on by the same rules, behind the files and rows that are \
             done. Rows that are done are read again and passed over. Where the files are not \
             those of the stopped run (another name, size, time or MD5; a newer --latest), or \
             rows are read in another way (--columns, --all-versions), a new run begins; standard \
             input that does not begin as before is refused (78).",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[S3, TERMINAL],
    },
    Page {
        name: "bh-filter",
        description: &[
            "Passes on the records whose key ends with the suffix, unless an object of that key \
             and that ETag was dealt with before. An object with another ETag passes, and so does \
             a line without an ETag. Lines go on byte for byte; other keys are passed over \
             without being read as JSON, but for lines that are not one whole object.",
            "What was dealt with is taken from the database that bh-load would use; a SQLite file \
             that does not exist yet means nothing. --known names a file of records or a listing \
             instead, or none. The set takes less than 40 bytes of memory a key.",
            "Besides records, the listings of aws s3api, s5cmd and rclone are read, see \
             bh-lines(5).",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, TERMINAL],
    },
    Page {
        name: "bh-fetch",
        description: &[
            "Gets the object of each record, many at a time, and writes the record with the \
             document as build, in the order of the input. ETag and size become those of the \
             object that came. White space between the tokens of the document goes; the tokens \
             themselves stay as they are.",
            "Objects are read as Python's json.loads reads bytes: UTF-8 with or without a byte \
             order mark, UTF-16 and UTF-32. What is empty, no JSON, no JSON object, or larger \
             than --max-size is rejected. An object that is not there any more is dropped, said \
             and counted as gone. A body that was cut short is fetched again and never passed on.",
            "What is in flight is bounded by bytes, not by lines. Lines of other tools come out \
             with the names of bh-lines(5); where they name no bucket, --bucket does.",
        ],
        files: &[],
        environment: &[S3, TERMINAL],
    },
    Page {
        name: "bh-validate",
        description: &[
            "Passes on, byte for byte and in order, the records whose build is valid, and rejects \
             the others with every violation: where in the document, which part of the schema, \
             and in words. The summary counts violations by the part of the schema, so that a \
             change of the schema shows as one line.",
            "The schema is built in (schema.yaml of the source). --schema names another, in YAML \
             or JSON, either bare or below a top key schema. Formats such as date-time are notes \
             unless --assert-formats is given; 1.0 is an integer, true is not. With --skip-invalid \
             invalid builds are left out and counted as dropped, and are no rejects.",
        ],
        files: &[],
        environment: &[TERMINAL],
    },
    Page {
        name: "kinto-export",
        description: &[
            "Writes a record for each live record of a Kinto collection, whose build is the \
             document without what Kinto adds (id, last_modified, schema; --keep-meta puts them \
             beside the build). After the records of a page comes its mark, and after the last \
             page the end mark.",
            "Records come in the order of their changes, up to the last change when the run \
             began; what changes later is for the next run, and --since names where that begins: \
             the number in the end mark and in the last message. A number is milliseconds since \
             1970, as in Kinto's ETags.",
            "From a server, pages are followed by their Next-Page, always at the server that was \
             named, whatever host that header has. A request that fails in passing is tried \
             again, and Backoff and Retry-After are obeyed. Pages that make no progress are an \
             error (78).",
            "Before and after, the server or the database is asked how many records there are: \
             what came must be that many, or the run ends with 69. A collection that is made anew, \
             or whose settings are changed, during the export ends the run with 78, and so does \
             one whose changes end before those that were seen, as after a restore. Where that \
             happened since a run that stopped, --resume begins a new run.",
            "With --database the records are read from Kinto's own PostgreSQL, by a cursor of the \
             server, in the table objects or, of Kinto up to 12, records. Its time zone has to be \
             UTC, as Kinto demands.",
            "--concurrency cuts the time between the first change and the last into ranges, and \
             who is idle takes half of the longest one that is left. The first error ends the \
             run; what is at work then is waited for, and written.",
            "--resume-file, --resume and --checkpoint are those of s3-list(1). The state belongs \
             to one server or database, bucket, collection and --since.",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[KINTO, KINTO_DATABASE, STATSD, TERMINAL],
    },
    Page {
        name: "bh-load",
        description: &[
            "Stores the build of each record in the table main_build of a PostgreSQL or SQLite \
             database, once for each content, and remembers key and ETag of every object that it \
             dealt with. In PostgreSQL the tables that are found on the search path are used, and \
             those that are missing are created, bh_object and bh_outbox in the schema of \
             main_build. A table main_build of another shape is refused (78), and so are views, \
             foreign, temporary and unlogged tables or partitions, tables with rows that row-level security hides from the role, and \
             an SQLite file of another application.",
            "Rows are committed in batches, as soon as one is full or its first row has waited \
             for --flush-interval. Then their marks are written to standard output, with \
             --marks alone, and with --resume-file the confirmed part of the listing is saved \
             beside that file. What is confirmed is committed and on disk, always, also where \
             synchronous_commit is off. A database that is removed or replaced during the run \
             ends it (SQLite 74, PostgreSQL 78), and nothing stays confirmed.",
            "At the end of a run it says what became of every key: listed = there + other keys + \
             gone + rejected + outside, over the confirmed pages of all its processes. The table \
             bh_run keeps this, a row for each run, and --runs prints it; rows carry the run's id \
             in their metadata. If rows of an unfinished run are missing, since the database was \
             emptied, set back to a copy or made anew, nothing stays confirmed: it ends with 75, \
             and the next run lists everything. It ends with 75 too if another loader has taken \
             the run over; if a part of the run did not come and is not stored, as behind tee; if \
             the begin mark says that the listing resumed from records which no loader has \
             confirmed; and, with --resume-file, if its input had no mark.",
            "A build that the database cannot hold (a NUL character, a lone surrogate, a number \
             beyond double range, a key of more than 400 characters) is rejected, and its batch \
             is not. So is one that the database refuses in any other way while it takes the \
             others (refused), and one that the database leaves out without an error, as a \
             trigger can (not_stored). Any number of loaders may work side by side. \
             docs/compatibility.md has the rights that a role needs.",
            "With an Elasticsearch named, the index follows the database: from then on every \
             loader queues new rows in the transaction that stores them, also one without \
             Elasticsearch. With it, a loader sends what is queued at its start and its end, \
             also by earlier ones, and takes off the queue what the index confirms, one by one. \
             A document that Elasticsearch refuses for good is rejected (not_indexed); its row \
             stays, and the document is sent again with --retry-refused only. Without --rejects \
             such rejects are only shown; every run reports them, until one keeps them.",
            "In the document, build.date and download.date are in ISO 8601, as Elasticsearch \
             reads it: 20180801100000, 1 Aug 2018 or Wed Aug  1 10:00:00 2018 are rewritten, as \
             Python's dateutil reads them. The row keeps the text as it came. A date that cannot \
             be read is left out of the document, shown and counted, and the document is indexed.",
            "The mapping of the index names the database (_meta.bh_database), and documents are \
             written through an alias of the index that names it too. An index that follows \
             another database is refused (78). An index without such a name is adopted if its \
             documents are those of the rows. No request makes an index by itself: one that is \
             gone, or was made anew, takes nothing. A loader looks up some rows in the index at \
             its start and at its end; if the index is gone, was made anew or lacks them, rows \
             are stored and queued, and it ends with 78. --requeue mends that: it makes the \
             index where it is missing, and sends every row of the database. It also lets \
             another --index follow. A warning names queued rows that are gone from main_build, \
             which stay queued, and documents that follow the newest row: those were indexed \
             before the database was set back, or rows were deleted, and stay until rows get \
             their ids.",
            "--mark-unvalidated and --kinto-migration are noted in the metadata of the rows; \
             they change nothing else.",
            "--dry-run looks and writes nothing, and prints a line for each record: its action \
             (insert, renew ETag, nothing, refuse), build_hash and key.",
        ],
        files: &[DATABASE_FILE, LOADED_FILE],
        environment: &[DATABASE, ELASTICSEARCH, STATSD, TERMINAL],
    },
    Page {
        name: "kinto-load",
        description: &[
            "Stores each line {\"data\": RECORD} as a record of the collection, under its id, in \
             batches of as many as the server takes (batch_max_requests). A line may hold \
             permissions, id, bucket, collection, if_match and safe beside it, as the v1 jobs' \
             to-kinto took them; a record with last_modified replaces only that version, unless \
             safe is false.",
            "On PostgreSQL a batch is one transaction, and a conflict in it takes back what was \
             answered with success before. Every answer in a batch is looked at, and has to name \
             the record that it is for (else 78); a batch of which a part was taken back is sent again as a whole, at last with no other one \
             beside it. Kinto gives each record of a collection a time of its own, so batches \
             side by side conflict often: --concurrency above 1 is slower on most servers, and \
             loses nothing.",
            "What Kinto refuses for good is rejected (refused), and so is an id that it cannot \
             take (bad_id). The other records of the batch are stored. With --marks, the marks of \
             what is stored are written to standard output. kinto-load keeps no state: after a \
             listing that resumed from records which nobody has confirmed it ends with 75.",
            "With --initialize bucket and collection are created first, or changed in what \
             differs from the manifest: permissions are added, members of data replaced. The \
             built-in manifest is kinto/initialization.yml of the source. Where nothing differs \
             nothing is written.",
            "With --skip-unchanged the ids and hashes of all records of the server are read first, \
             from a file in --cache-folder and what has changed since it was written; records \
             that are there with the same content are not sent. Of several records with one id \
             the last one counts: earlier ones of its batch are dropped (superseded), and those \
             of earlier batches from the next run on. Such a record is sent at the end if no later \
             one comes. The file belongs to one server, bucket and collection, and may be removed \
             at any time. With --if-not-exists a record \
             that is there stays as it is, and counts as there already.",
        ],
        files: &[(
            ".kinto-load-*",
            "in --cache-folder: what --skip-unchanged knows of a collection.",
        )],
        environment: &[KINTO, KINTO_LOAD, STATSD, TERMINAL],
    },
    Page {
        name: "bh-derive",
        description: &[
            "Decides by its key which line of a listing of Mozilla's archive is a build, makes its \
             record from the key, size and date, adds what the metadata beside the builds say, \
             checks it, and writes {\"data\": record}, in the order of the input. Lines are those \
             of s3-list, of s3-inventory and of other tools, see bh-lines(5); a + in a key is read \
             as a blank, as inventories and events write it, and nothing else is decoded: give \
             s3-inventory --raw-keys. What is no build is dropped and counted; what is one and \
             gets no record is rejected with the reason: no_metadata, bad_metadata, no_record, \
             no_build_number, channel, platform, locale, version, bad_line, and with --event bad_event. \
             The event of a deletion is dropped.",
            "Metadata of a nightly are the .json, or else the .txt, of its English build; of a \
             candidate the .json in its English folder; of a release those of the latest candidate \
             of its version, whose folders are listed once a product. Each URL is asked for once, \
             however many languages need it, and what was said is kept in a file from run to run: \
             what was there for ever, what was not there for a day, what could not be had for an \
             hour. A run that was killed goes on from that file.",
            "A server that answers with an error, another type or not at all is asked --tries \
             times, after waits drawn between nothing and 1, 2, 4 and more seconds; 404 is an \
             answer. A candidate's or release's metadata that cannot be had then reject their \
             builds as failed, and hold the unit. A listing of candidates, the .json of a \
             nightly, or an answer that does not come in time end the run (69), and a listing of \
             candidates that is not there does (78): all records would suffer.",
            "With --bucket listings and metadata are read from the bucket behind the archive by \
             S3; URLs in records remain those of --archive-url.",
            "With --event lines are S3 events, in notifications of SNS or not, or lines of a \
             listing. An archive that came is looked up as above; without metadata yet it is \
             dropped: its record is made when they come. The .json of a candidate or nightly that \
             came brings the records of the builds that stand in its folders; what is not there \
             yet (404) is asked for again. A refused record hides no other: rejects hold an event \
             for each, and what the archive did not give (failed) holds its unit, so that the \
             message comes again. What the archive said holds for --refresh seconds, in memory. \
             Records of an event are to be created only where they are new.",
            "Records and ids are those of Buildhub's first jobs, byte for byte, but where these \
             were at fault. A bad line, bad metadata or a null channel reject a record and no \
             longer end the run. The number of a build is all its digits (build12 is 12). A \
             release's metadata are those of its very version: neither 63.0.1 nor mozinfo files \
             are taken for 63.0. The id of a candidate of ESR says so. Offsets of dates are \
             applied. A folder macosx is the platform macosx. Old texts may have line ends of \
             Windows, and count only with the status of success. The .buildhub.json of a nightly \
             is not its metadata; those of Thunderbird's are. Archives may end in .tar.xz, and a \
             .zip is passed over where a part of its URL begins with win, not where it has win \
             somewhere, as darwin has. Connections are kept, so one that is lost is tried again. \
             Two archives of one build still have one id, as in the collections that are there; \
             so .msi, .msix and .pkg, which stand beside an .exe or .dmg, stay unknown.",
        ],
        files: &[METADATA_FILE, FIRST_METADATA_FILE],
        environment: &[ARCHIVE, S3, TERMINAL],
    },
];

const METADATA_FILE: Entry = (
    ".bh-derive-metadata.ndjson",
    "in --cache-folder: the metadata that were asked for, a line each. Locked while bh-derive \
     runs; a torn last line is taken off. Remove it to ask for all again.",
);
const FIRST_METADATA_FILE: Entry = (
    ".metadata-1.4.1.json",
    "the same of Buildhub's first jobs, from which a new file begins.",
);

const RESUME_FILE: Entry = (
    "FILE",
    "of --resume-file: how far the reading has come, see bh-lines(5). It is replaced whole, and \
     locked while its program runs.",
);
const LOADED_FILE: Entry = (
    "FILE.loaded",
    "beside it: what bh-load has committed of that run. Written by bh-load alone, and locked \
     while it runs.",
);
const DATABASE_FILE: Entry = (
    "buildhub.db",
    "the SQLite database, in the current folder, where none is named.",
);

const S3: &[Entry] = &[
    (
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL",
        "the address of an S3 that is not AWS's.",
    ),
    (
        "AWS_REGION, AWS_DEFAULT_REGION",
        "the region; us-east-1 where nothing names one.",
    ),
    (
        "AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
        "the profile, and the files it is looked up in.",
    ),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "credentials; without them those of the profile, of single sign-on, of a web identity, \
         of the container, of the machine, in AWS's usual order.",
    ),
    (
        "AWS_CA_BUNDLE",
        "a file of certificates to trust instead of the system's; else ca_bundle of the profile.",
    ),
    (
        "http_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "the proxies for http, for https and for both, and the hosts that are reached without \
         one, as curl reads them: also in lower case, and http_proxy in lower case alone. AWS's \
         metadata services are never asked through a proxy.",
    ),
];
const ARCHIVE: &[Entry] = &[
    (
        "ARCHIVE_URL, CACHE_FOLDER, PRODUCTS",
        "where no flag gives them: the address of the archive, the folder of the cache, the \
         products to look at.",
    ),
    (
        "NB_PARALLEL_REQUESTS, NB_RETRY_REQUEST, TIMEOUT_SECONDS",
        "the same for --concurrency, --tries and --request-timeout.",
    ),
    (
        "MIN_AGE_LAST_MODIFIED_HOURS",
        "the same for --max-age: hours, or a time with a unit.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust over HTTP instead of the system's; it must be readable.",
    ),
];
const DATABASE: &[Entry] = &[
    (
        "DATABASE_URL",
        "the database: sqlite:FILE or postgres://USER@HOST/NAME. --database goes first.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust instead of the system's, where sslmode is verify-ca or \
         verify-full and no sslrootcert names another; it must be readable.",
    ),
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, \
         PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGCONNECT_TIMEOUT, PGTARGETSESSIONATTRS, PGAPPNAME, \
         PGOPTIONS",
        "what a PostgreSQL URL leaves open, as for psql(1); passwords also from ~/.pgpass, and \
         certificates from ~/.postgresql. With authorities to trust, sslmode=require checks as \
         verify-ca does.",
    ),
];
const KINTO: &[Entry] = &[
    (
        "KINTO_SERVER_URL, KINTO_BUCKET, KINTO_COLLECTION",
        "the server with its version, and what is in it. Flags go first.",
    ),
    (
        "KINTO_AUTH",
        "USER:PASSWORD, or Bearer TOKEN; --auth-file goes first.",
    ),
    (
        "SERVER_URL, BUCKET, COLLECTION, AUTH",
        "the same where the long names are not set; a warning names those that are used.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust besides the public authorities; it must be readable.",
    ),
];
const KINTO_LOAD: &[Entry] = &[(
    "CACHE_FOLDER, BATCH_MAX_REQUESTS",
    "as --cache-folder and --batch-size, which go first.",
)];
const KINTO_DATABASE: &[Entry] = &[
    (
        "KINTO_DATABASE_URL",
        "Kinto's own PostgreSQL. --kinto-database goes first.",
    ),
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, \
         PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGCONNECT_TIMEOUT, PGTARGETSESSIONATTRS, PGAPPNAME, \
         PGOPTIONS",
        "what its URL leaves open, as for psql(1); passwords also from ~/.pgpass, and certificates \
         from ~/.postgresql.",
    ),
];
const STATSD: &[Entry] = &[(
    "STATSD_HOST, STATSD_PORT, STATSD_NAMESPACE",
    "where counts are sent to, and what stands before their names; nowhere without a host.",
)];
const ELASTICSEARCH: &[Entry] = &[(
    "ELASTICSEARCH_URL",
    "the Elasticsearch or OpenSearch that new rows are indexed in. --elasticsearch goes first.",
)];
const TERMINAL: &[Entry] = &[(
    "TERM",
    "where it is dumb or missing, progress is shown as lines, and not as a block of rows.",
)];

#[derive(Parser)]
#[command(about = "Write the man pages and the completions")]
struct Args {
    /// Folder of the man pages
    man: PathBuf,
    /// Folder of the completions
    completions: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for folder in [&args.man, &args.completions] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for stage in STAGES {
        let Some(page) = PAGES.iter().find(|page| page.name == stage.name) else {
            bail!("{}: no page in examples/manual.rs", stage.name);
        };
        let path = args.man.join(format!("{}.1", stage.name));
        std::fs::write(&path, manual(stage, page)?).with_context(|| path.display().to_string())?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            generate_to(shell, &mut (stage.command)(), stage.name, &args.completions)
                .with_context(|| args.completions.display().to_string())?;
        }
    }
    Ok(())
}

/// The page of a program, as roff in ASCII.
fn manual(stage: &Stage, page: &Page) -> Result<String> {
    let mut command = (stage.command)();
    let usage = command.render_usage().to_string();
    let examples = command.get_before_help().map(ToString::to_string);
    let man = Man::new(command);

    let mut out = Vec::new();
    man.render_name_section(&mut out)?;

    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let arguments = usage.trim_start_matches("Usage: ").trim();
    let arguments = arguments.strip_prefix(stage.name).unwrap_or(arguments);
    roff.text([bold(stage.name), roman(arguments)]);

    roff.control("SH", ["DESCRIPTION"]);
    for (name, what) in [
        ("Reads", stage.reads),
        ("Writes", stage.writes),
        ("Touches", stage.touches),
    ] {
        roff.control("TP", ["10"]);
        roff.text([bold(name)]);
        roff.text([roman(what)]);
    }
    for paragraph in page.description {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.to_writer(&mut out)?;

    man.render_options_section(&mut out)?;

    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    roff.control("EX", []);
    for line in examples.iter().flat_map(|text| text.lines()).skip(1) {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("EE", []);

    roff.control("SH", ["EXIT STATUS"]);
    for status in STATUSES {
        let next = format!("{}. To do: {}.", status.means, status.then);
        entry(&mut roff, status.code, &next);
    }
    if !page.files.is_empty() {
        roff.control("SH", ["FILES"]);
        for (name, what) in page.files {
            entry(&mut roff, name, what);
        }
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, what) in page.environment.iter().copied().flatten() {
        entry(&mut roff, name, what);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = STAGES.iter().filter(|other| other.name != stage.name);
    let mut also = others
        .map(|other| format!("{}(1)", other.name))
        .collect::<Vec<_>>();
    also.extend(["bh-pipes(7)".to_owned(), "bh-lines(5)".to_owned()]);
    roff.text([roman(also.join(", "))]);
    roff.to_writer(&mut out)?;
    let title = stage.name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    // Each part brings the definition of the apostrophe along.
    let body = String::from_utf8(out)?.replace(APOSTROPHE, "");
    ascii(&format!(
        ".\\\" Made by examples/manual.rs, do not edit.\n\
         {APOSTROPHE}.TH {title} 1 \"\" \"buildhub-pipes {version}\" \"buildhub-pipes\"\n{body}"
    ))
}

const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

fn entry(roff: &mut Roff, name: &str, what: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(what)]);
}

/// `text` with what is not ASCII as roff's own escapes, so that a page needs
/// no preprocessor.
fn ascii(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            write!(out, "\\[u{:04X}]", u32::from(character))?;
        }
    }
    Ok(out)
}
