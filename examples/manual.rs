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
            "Lists the keys of a bucket, or of a prefix, with many requests at once, and writes \
             one record per key. Keys are decoded, whatever they contain. The first line is the \
             begin mark. After the records of a page comes its mark, which says which range of \
             keys has been listed completely, and how many keys it has. After the last page comes \
             the end mark. On a terminal, and with --no-marks, only records are written.",
            "S3 returns pages only one after the other, so idle connections split the remaining \
             range at a guessed midpoint, based on the folders and keys seen so far; pages \
             therefore come in no order. A wrong guess costs a request, never a key; the summary \
             counts both requests and pages. Folders are listed with a delimiter. Where that is \
             denied, as by a policy for one prefix only, ranges are split by the names of the \
             keys. With --ordered, keys come in byte order, nearly as fast: pages that arrive \
             early are buffered in memory, and above 16 MiB in an unnamed file in TMPDIR, which \
             may grow to the size of the listing. --concurrency 1 lists one page after the other.",
            "With --resume-file, the program saves its progress while it lists: a page is recorded \
             as soon as the previous state is on disk, and only after its lines have been written. \
             With --resume, it lists only the gaps: what bh-load has not confirmed, if bh-load \
             uses the same --resume-file; otherwise what has not been listed. A run is finished \
             when it is listed completely and bh-load has confirmed all of it; the next one then \
             starts from the beginning, so a timer can always pass --resume. Pages that were \
             listed but not confirmed are listed once more. Then the run is closed, and the next \
             one lists everything, so that an object which fails every time does not hide new \
             keys. A new run uses a sample of the keys of the last one to split the listing, so \
             that all connections are busy at once. A message says where the run resumes; \
             --checkpoint overrides that choice. The file belongs to one endpoint, bucket, prefix, \
             and set of bounds or ranges: it is refused for another listing (78), when it is \
             damaged (78), and while another run uses it (75). --show-state prints what a file \
             contains.",
            "To share a bucket among machines, --plan N prints N ranges of about equal size after \
             about 20 requests per range, and --ranges lists only the ranges in a file; each \
             machine needs its own resume file. The ranges of a plan join without gaps or \
             overlaps. --shard I/N takes every N-th range of a plan. Without --ranges, it makes \
             the plan now, and says which one: if the bucket changes meanwhile, two shards may \
             make different plans.",
            "When a server answers SlowDown, all workers together send half as many requests at a \
             time, and one more after each round of answers.",
            "A request that fails temporarily (no answer, 5xx, SlowDown, a truncated answer) is \
             retried after a random wait below a bound that doubles, and not before the time that \
             the server asks for. A server whose pages make no progress is an error (78).",
            "Some servers end a listing too early: MinIO does so if the listing starts inside a \
             folder such as 60.0/ next to 60.0.1/. Pages therefore have to agree with each other. \
             A warning names each contradiction, that part is listed again, one folder at a time, \
             and the summary counts it. If that does not help, or if the server ignores the \
             prefix, the run ends with 78.",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[S3, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "s3-inventory",
        description: &[
            "Reads an S3 Inventory of a bucket, and writes one record per row, as s3-list would. \
             It reads CSV without a header line from standard input; files and folders of .csv.gz \
             (with any number of gzip members), .csv and .parquet; or the files that a \
             manifest.json names. The format of a file is detected from its first bytes. Several \
             files are decompressed at once, and rows are converted on all cores. Records come in \
             the order of the files; the files of a folder are read in the order of their names.",
            "A manifest gives the columns, and the size and MD5 of each file. The files are read \
             from the manifest's bucket, or, for a local manifest, from its destination bucket; \
             --files overrides this. --latest finds the newest folder below a prefix that is named \
             like 2026-11-21T01-00Z, and reads its manifest. Parquet files of a bucket are stored \
             in an unnamed file in TMPDIR, and checked before their first row is read. A manifest \
             is compared with the manifest.checksum next to it, if there is one, and the bucket of \
             each row with the bucket in the manifest.",
            "Without a manifest, the columns of CSV are Bucket, Key, Size, LastModifiedDate and \
             ETag, and further columns are ignored; --columns names all columns of a row. Names \
             can be written as in CSV (IsLatest) or as in Parquet (is_latest); columns with other \
             names are ignored. If the first row of a file does not match its columns, if a column \
             of Parquet is missing or has another type, or if the file is not CSV (ORC, zstd, zip, \
             HTML), the run ends with 78 before any row is read. Every row must have as many \
             columns as the first one. Keys are URL-decoded in CSV, but not in Parquet or with \
             --raw-keys. Only the latest version of each object is read, and no delete markers, \
             unless --all-versions and --delete-markers are given; then records also have \
             version_id, is_latest and is_delete_marker.",
            "--mozilla firefox and --mozilla archive read the newest inventory that Mozilla \
             publishes. Its bucket, prefix and region are built in, requests are not signed, and \
             the files are below public/.",
            "A row that is not a valid record (with other columns than the first row, an invalid \
             size, date or ETag, a key that is not UTF-8 or not URL-encoded) is rejected with its \
             file and line. An object that is replaced while it is read, and a truncated gzip \
             file, end the run with 75; a file that is damaged, or does not match its manifest, \
             ends it with 78. The rows before that point have been written, but the mark of the \
             file has not.",
            "After the rows of a file, once it is verified, comes its mark; for standard input \
             there is one after about every 100,000 lines. With --resume-file, progress is saved \
             as by s3-list, and --resume resumes by the same rules after the files and rows that \
             are done. Rows that are done are read again and skipped. If the files differ from \
             those of the stopped run (another name, size, time or MD5; a newer --latest), or if \
             rows are read in another way (--columns, --all-versions), a new run starts. Standard \
             input that does not begin with the same data is refused (78).",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[S3, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "sqs-receive",
        description: &[
            "Receives the messages of an SQS queue, and writes one record per object that they \
             say was created, with the bucket, key, ETag, size, and the time of the event as \
             last_modified. After the records of a message comes its mark, with which sqs-delete \
             deletes it. A message without such objects, as the test event of S3, is a mark alone.",
            "The format of an event is detected: that of S3, also with several records, that of \
             MinIO, and either inside a notification of SNS, wrapped or raw; that of EventBridge. \
             Keys are URL-decoded, except those of EventBridge, which are not encoded. A message \
             that is not an event is rejected (not_an_event), and so is an event that does not name \
             its object (bad_event); without --rejects their message is held, and not deleted. \
             bh-fetch reads the object as it is then, so neither the order of events nor a second \
             delivery matters.",
            "A message stays hidden from other receivers for the visibility timeout of the queue. \
             The program extends it after half of that time, from the receipt of the message until \
             sqs-delete reports that it is deleted or given up, also while the message waits in a \
             pipe. It extends a message for up to --max-hold. The queue delivers what is not \
             deleted again, or moves it to its dead letters. --in-flight limits how many messages \
             are received and not reported yet. Where sqs-delete runs on another machine, \
             a message counts until the queue refuses to extend it.",
            "Up to 8 requests receive messages at once while there is a backlog, and one waits for \
             messages while the queue is empty.",
            "SIGTERM is the normal end: no further request is sent, the one in progress ends (after \
             --wait at most), its messages are returned to the queue, and the program ends with 0 \
             when what is in flight is reported. A second SIGTERM ends it at once. Send \
             SIGTERM to this program alone: the others end after it.",
            "With --drain the program ends when no message is waiting, and no worker holds one, \
             here or elsewhere: a message that another worker loses is received here. It does not \
             wait for messages that it has given up, even if each poll brings them again. If no \
             sqs-delete runs on this machine, it waits for its own messages for one visibility \
             timeout; with --no-marks it does not wait for them.",
            "If the queue delivers nothing because too many messages are in flight (OverLimit), \
             the program waits until some are deleted.",
            "With --raw, the body of each message is a line as it is. Line ends in JSON become \
             spaces; a body that is blank, has several lines or would be taken for a mark is \
             rejected. With --event, the program reads the event that Lambda calls a function with \
             for a queue. The messages whose marks do not come out of the pipeline are those that \
             the function must report as failed.",
        ],
        files: &[(
            "buildhub-pipes-queues-UID",
            "in XDG_RUNTIME_DIR, else in TMPDIR: the socket on which sqs-delete reports.",
        )],
        environment: &[SQS, PROXY, TERMINAL],
    },
    Page {
        name: "sqs-delete",
        description: &[
            "Deletes the messages whose marks arrive, in requests of up to 10 and within 100 ms. \
             Records are dropped. Every entry of a response is checked: one that failed is tried \
             again by its own receipt handle, and one that the queue refuses is counted as stale, \
             since its message was visible again and is processed twice.",
            "A held message is given up, which means that the queue delivers it again. In a FIFO \
             queue, so are the messages of its group that were received with it, so that they are \
             not done before it. A message of another queue than QUEUE_URL is not deleted: give \
             both programs the same URL.",
            "The program tells sqs-receive on the same machine what was deleted or given up, as \
             the same user. The end of its input does not delete anything that no mark confirms.",
        ],
        files: &[],
        environment: &[SQS, PROXY, TERMINAL],
    },
    Page {
        name: "sqs-send",
        description: &[
            "Sends each line of its input as the body of a message, with up to 10 messages and \
             1,048,576 bytes per request. Characters that SQS does not accept (U+FFFE, U+FFFF) are \
             escaped in a line that is JSON. Another line with such a character, and a line that is \
             not UTF-8, are rejected (not_sendable), and so is a line of more than 1,048,576 bytes \
             (too_long), and one that the queue refuses (refused).",
            "An entry that failed is sent again, and so is a request without a response: a \
             message may arrive twice. With --group, the messages are of that group of a FIFO queue, \
             and are sent in the order of the lines.",
            "With --marks, the marks of what is sent are written to standard output.",
        ],
        files: &[],
        environment: &[SQS, PROXY, TERMINAL],
    },
    Page {
        name: "bh-filter",
        description: &[
            "Passes the records whose key ends with the suffix, unless an object with the same key \
             and ETag is already known. An object with a new ETag passes, and so does a line \
             without an ETag. Lines are passed byte for byte. Lines with other keys are dropped \
             without being parsed as JSON, unless they are not one whole object.",
            "The known objects are those in the database that bh-load would use; if its SQLite \
             file does not exist yet, nothing is known. --known names a file of records or a \
             listing instead, and with --no-known nothing is known. Known objects take less than 40 bytes of memory per key.",
            "With --into, what a staging holds is known too. An object that only the main database \
             has is counted as in the main database, so that the ledger says what is in the staging.",
            "An object that was rejected before with the same ETag is dropped too, and counted as \
             known bad, if it would be rejected again: it is not JSON (not_json, not_an_object), \
             cannot be stored (unstorable, too_long) or violates the schema. The version of the \
             programs and, for the schema, --schema and --assert-formats must be the same as then: \
             give them to bh-filter as to bh-validate. Such objects do not count as rejects; with \
             --rejects, they are appended to the file too. --retry-rejects keeps them. They come \
             from bh-load --record-rejects.",
            "--since and --until keep, of the objects that are not known, those whose last_modified \
             is at --since or later, and before --until. A date is its first moment in UTC. A \
             record that does not say when its object was modified is kept. S3 dates a multipart \
             upload by its start, and a replica by its original, so an object may appear with any \
             older time: such a filter selects, but does not find all that is new since a run. \
             Without it every run does, and known objects cost no request.",
            "Besides records, bh-filter reads the listings of aws s3api, s5cmd and rclone; see \
             bh-lines(5).",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, STATSD, TERMINAL],
    },
    Page {
        name: "bh-audit",
        description: &[
            "Compares a listing, in any order, with the objects in the database, and passes the \
             records that differ, with the member audit: missing if the database has no such \
             object, changed if it has another ETag. Marks pass as through bh-filter(1), so that \
             bh-fetch, bh-validate and bh-load after it repair both. Objects that were rejected \
             with this ETag, and would be again, are counted as known bad, and do not differ.",
            "An object that is in the database, but not in the part of the bucket that was listed, \
             is extra. All are counted; --kind extra also prints them, without a bucket, before \
             the last mark. Rows are never removed, so there is nothing to repair. What was listed \
             is what the marks say; of an inventory, all of its files must have come. Pages with \
             rejects, or with records that another program dropped, do not count as listed.",
            "Loaders and uploads may be at work meanwhile. Each difference is looked up once more \
             before it is printed. What was stored after the listing began is newer than the \
             listing, and is not judged; the clocks of the database and of the listing must agree. \
             --settle leaves out objects that were written so recently that no loader may have \
             stored them; they are counted as too new. An object without a row of its own, because \
             another key has the same content, is not judged if a loader was at work.",
            "The exit status is 65 if anything differs, printed or not. Without an end mark it is \
             75: then the listing may be cut, and nothing is extra. The objects take less than 40 \
             bytes of memory per key. What the programs reject meanwhile, with --record-rejects, is \
             known bad too. bh-audit reads the tables main_build, bh_object, bh_reject \
             and bh_run, and writes nothing.",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, STATSD, TERMINAL],
    },
    Page {
        name: "bh-fetch",
        description: &[
            "Downloads the object of each record, many at a time, and writes the record with the \
             document as build, in the order of the input. The ETag and the size become those of \
             the downloaded object. White space between the tokens of the document is removed; the \
             tokens themselves do not change.",
            "Documents are decoded as Python's json.loads decodes bytes: UTF-8 with or without a \
             byte order mark, UTF-16 and UTF-32. An object that is empty, not JSON, not a JSON \
             object, or larger than --max-size is rejected. An object that no longer exists is \
             dropped, reported and counted as gone. A truncated body is fetched again and never \
             passed on. An object that its server never gives is rejected, if the server gives \
             another one; if it does not, the run ends with 69.",
            "The amount of data in flight is limited in bytes, not in lines. The lines of other \
             tools are written with the names of bh-lines(5); if they do not name the bucket, use \
             --bucket.",
        ],
        files: &[],
        environment: &[S3, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "bh-validate",
        description: &[
            "Passes the records whose build is valid, byte for byte and in order, and rejects the \
             others with every violation: where in the document it is, which part of the schema it \
             violates, and a description. The summary counts violations by the part of the schema, \
             so that a change of the schema shows as one line.",
            "The schema is built in (schema.yaml in the source). --schema names another one, in \
             YAML or JSON, either bare or below a top-level key schema. Formats such as date-time \
             are not checked without --assert-formats. 1.0 is an integer, true is not. With \
             --skip-invalid, invalid builds are dropped and counted, and are not rejects.",
        ],
        files: &[],
        environment: &[STATSD, TERMINAL],
    },
    Page {
        name: "kinto-export",
        description: &[
            "Writes one record per live record of a Kinto collection. Its build is the document \
             without the members that Kinto adds (id, last_modified, schema; --keep-meta keeps \
             them next to the build). After the records of a page comes its mark, and after the \
             last page the end mark.",
            "Records come in the order of their changes, up to the last change when the run began. \
             Later changes are left to the next run: pass the number in the end mark, which the \
             last message also shows, to --since. It is in milliseconds since 1970, as in Kinto's \
             ETags.",
            "From a server, pages are followed by their Next-Page header, but always at the server \
             that was given, whatever host the header names. A request that fails temporarily is \
             retried, and Backoff and Retry-After are obeyed. Pages that make no progress are an \
             error (78).",
            "Before and after the export, the program asks the server or the database for the \
             number of records; if another number was exported, the run ends with 69. If the \
             collection is recreated, or its settings are changed, during the export, the run ends \
             with 78. So does a collection whose last change is older than one already seen, as \
             after a restore. If that happened after an earlier run stopped, --resume starts a new \
             run.",
            "With --kinto-database, records are read from Kinto's own PostgreSQL database with a \
             server-side cursor, from the table objects, or up to Kinto 12 from records. Its time \
             zone must be UTC, as Kinto requires.",
            "--concurrency splits the time between the first change and the last into ranges; an \
             idle connection takes half of the longest remaining range. The first error ends the \
             run; requests in flight are still completed and written.",
            "--resume-file, --resume and --checkpoint are those of s3-list(1). The state belongs \
             to one server or database, bucket, collection and --since.",
            "--since last exports what has changed since the end of the last run in the resume \
             file, and within --margin before it, because Kinto dates a record before its \
             transaction commits. Only a run that came to its end counts and, if bh-load uses the \
             same resume file, one that bh-load has confirmed completely; after any other the \
             next run begins where that one began. Without a run before, and if the collection \
             was recreated or its settings were changed since, everything is exported. Records \
             with a last_modified of the client's own may be older than any margin: export \
             everything from time to time.",
        ],
        files: &[RESUME_FILE, LOADED_FILE],
        environment: &[KINTO, KINTO_DATABASE, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "bh-load",
        description: &[
            "Stores the build of each record in the table main_build of a PostgreSQL or SQLite \
             database, once per distinct content, and remembers the key and ETag of every object \
             it has handled. In PostgreSQL, it uses the tables on the search path, and creates \
             missing ones, such as bh_object and bh_outbox in the schema of main_build. It refuses (78) a \
             table main_build with other columns, views, foreign, temporary and unlogged tables or \
             partitions, tables with rows that row-level security hides from the role, and an \
             SQLite file of another application.",
            "Rows are committed in batches, as soon as a batch is full or its first row has waited \
             for --flush-interval. Then, with --marks, their marks are written to standard output, \
             and with --resume-file the confirmed part of the listing is saved next to that file. \
             Whatever is confirmed is committed and on disk, even if synchronous_commit is off. If \
             the database is removed or replaced during the run, the run ends (SQLite 74, \
             PostgreSQL 78), and nothing stays confirmed.",
            "At the end of a run, bh-load reports what became of every key: listed = there + other \
             keys + known bad + gone + rejected + outside, over the confirmed pages of all processes of the \
             run. The table bh_run keeps this, with one row per run, and --runs prints it. The \
             metadata of each row name its run. If rows of an unfinished run are missing, because \
             the database was emptied, restored from a backup or recreated, nothing stays \
             confirmed: the run ends with 75, and the next one lists everything. It also ends with \
             75 if another loader has taken over the run; if a part of the run never arrived and \
             is not stored, as after tee; if the begin mark says that the listing resumed after \
             records that no loader has confirmed; and, with --resume-file, if the input had no \
             marks.",
            "With --into NAME, everything is stored in a staging instead: in PostgreSQL in the \
             schema NAME, with SQLite in the file NAME.db beside the main one. The tables are the \
             same, and are created there. The main database is not read or changed, and nothing of \
             a staging is queued for Elasticsearch or sent to it. A schema or file that is not a \
             staging is refused (78). Give the same --into to bh-filter.",
            "With --record-rejects, bh-load reads at the end of a run the --rejects files of all \
             programs of the pipeline, its own included, and stores what they say of this run in \
             the table bh_reject, one row per object. bh-filter then leaves these objects out. A \
             row is removed when its object is stored, or when a complete run of the same source \
             no longer meets the object.",
            "A build that the database cannot store (with a NUL character, a lone surrogate, a \
             number beyond double range, or a key of more than 400 characters) is rejected without \
             its batch. So is one that the database refuses in any other way while \
             it accepts the others (refused), and one that the database leaves out without an \
             error, as a trigger can (not_stored). Any number of loaders can run at the same time. \
             docs/compatibility.md lists the rights that a role needs.",
            "If an Elasticsearch is given, the index follows the database: from then on, every \
             loader queues new rows in the transaction that stores them, even when it runs without \
             Elasticsearch. With Elasticsearch, a loader sends the queued documents at its start \
             and at its end, including those of earlier loaders, and removes from the queue what \
             the index confirms, one by one. A document that Elasticsearch rejects permanently is \
             rejected (not_indexed). Its row stays, and only --retry-refused sends the document \
             again. Without --rejects, such rejects are only logged, and every run reports them \
             again.",
            "In the document, build.date and download.date are converted to ISO 8601 for \
             Elasticsearch: 20180801100000, 1 Aug 2018 and Wed Aug  1 10:00:00 2018 are parsed as \
             Python's dateutil parses them. The row keeps the original text. A date that cannot be \
             parsed is left out of the document, logged and counted.",
            "The mapping of the index names the database (_meta.bh_database), and documents are \
             written through an alias of the index that names it too. An index that follows \
             another database is refused (78). An index without such a name is adopted if its \
             documents match the rows. No request creates an index by accident: writes to an index \
             that was deleted or recreated fail. A loader looks up some rows in the index at its \
             start and at its end; if the index was deleted, was recreated or lacks them, rows are \
             stored and queued, and the run ends with 78. bh-index(1) repairs that, and switches to \
             another --index. A warning names queued rows that were deleted from \
             main_build, which stay queued, and documents newer than the newest row: these were \
             indexed before the database was restored from a backup, or their rows were deleted, \
             and they stay until new rows get their ids, or bh-index --delete-orphans \
             deletes them.",
            "--mark-unvalidated and --kinto-migration only add a note to the metadata of the rows.",
            "--dry-run writes nothing, and prints a line for each record: its action (insert, \
             renew ETag, nothing, refuse), build_hash and key.",
        ],
        files: &[DATABASE_FILE, LOADED_FILE],
        environment: &[DATABASE, ELASTICSEARCH, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "bh-index",
        description: &[
            "Compares every row of the database with its document in the index, by id, and \
             writes a line for each document that differs: the id, key and etag of its row, and \
             index, which is unindexed (the row has no document; with queued if a loader has not \
             sent it yet), differing (the document has another content), refused (Elasticsearch \
             has rejected it for good; with reason) or orphan (the document has no row).",
            "What is unindexed or differs is then queued in the database and sent, as bh-load(1) \
             does it; so are the documents that are queued already. A run that is killed loses \
             nothing: the next one, or any bh-load, sends the rest. An index that is missing is \
             created. One that was recreated, or another --index, is sent every row. \
             --retry-refused sends rejected documents again, and --delete-orphans deletes \
             documents without a row, after it has looked for the row a second time; a document \
             that is written meanwhile stays.",
            "With --check nothing is changed. Documents are compared as they are stored, also \
             those that no search finds yet; numbers in another notation, and members in another \
             order, do not differ. Loaders may be at work meanwhile: then a row that is not \
             sent yet is unindexed, and queued.",
            "--new-index fills a new index, INDEX-TIME, with the mapping of bh-load, while loaders \
             and searches use the old one. What loaders store meanwhile is sent too. At the end, \
             rows cannot be written for a moment: the last ones are sent, documents and rows are \
             counted, and the name, an alias, moves to the new index in one request. If the \
             counts differ, nothing has changed (75). A transaction that stays open for minutes \
             ends the run with 75 too. The former index is kept, and the summary says how to \
             delete it. An index that has the name itself, and not by an alias, has to be deleted \
             for it: that needs --replace, and searches at that moment may fail. A \
             run that was killed is undone or finished by the \
             next one; the table bh_reindex holds its state. Needs PostgreSQL 13 or later, or \
             SQLite.",
            "The exit status is 65 if anything differs; without --check, if anything still \
             differs at the end: refused documents, or orphans that were not deleted. \
             --delete-orphans needs Elasticsearch 6.7 or later.",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, ELASTICSEARCH, PROXY, TERMINAL],
    },
    Page {
        name: "kinto-load",
        description: &[
            "Stores each line {\"data\": RECORD} as a record of the collection, under its id, in \
             batches as large as the server allows (batch_max_requests). A line may also have \
             permissions, id, bucket, collection, if_match and safe, as to-kinto in the v1 jobs \
             accepted them. A record with last_modified replaces only that version, unless safe is \
             false.",
            "On PostgreSQL, a batch is one transaction, and a conflict rolls back even the \
             requests that were reported as successful. Therefore every response in a batch is \
             checked, and must name its record (otherwise 78); a batch that was partly rolled back \
             is sent again as a whole, in the end with no other batch at the same time. Kinto \
             gives every record of a collection a timestamp of its own, so concurrent batches \
             often conflict: --concurrency above 1 is slower on most servers, but loses nothing.",
            "A record that Kinto rejects permanently is rejected (refused), and so is an id that \
             it cannot accept (bad_id). The other records of the batch are stored. With --marks, \
             the marks of what is stored are written to standard output. kinto-load keeps no \
             state: if the listing resumed after records that nobody has confirmed, it ends with \
             75.",
            "With --initialize, the bucket and the collection are created first, or updated where \
             they differ from the manifest: permissions are added, members of data replaced. The \
             built-in manifest is kinto/initialization.yml in the source. Settings that already \
             match are left alone.",
            "With --skip-unchanged, kinto-load first reads the ids and hashes of all records of \
             the server, from a file in --cache-folder plus the changes since it was written; \
             records that are already there with the same content are not sent. Of several records \
             with one id, the last one counts: earlier ones in the same batch are dropped \
             (superseded), and those in earlier batches from the next run on. Such a record is \
             sent at the end if no later one comes. The file belongs to one server, bucket and \
             collection, and can be deleted at any time. With --if-not-exists, existing records do \
             not change, and count as there already.",
        ],
        files: &[(
            ".kinto-load-*",
            "in --cache-folder: what --skip-unchanged knows of a collection.",
        )],
        environment: &[KINTO, KINTO_LOAD, PROXY, STATSD, TERMINAL],
    },
    Page {
        name: "bh-promote",
        description: &[
            "Makes a staging, which bh-load --into NAME has filled, part of the main database, in \
             one transaction: the rows whose content the main database does not have yet, the new \
             ETags of rows that it has, the objects, the rejects and the runs. The result is that \
             of a direct load, except that the rows are as new as the promotion. A kill before \
             the commit leaves nothing. A staging that was promoted before is left as it is, and \
             the numbers of its promotion are printed again. Loaders may be at work on the main \
             database meanwhile. New rows are queued if an index follows it; the next bh-load(1) \
             sends them.",
            "A staging is promoted only if it is known to be complete (otherwise 78): each of its \
             runs is complete, or a later run of the same source is; their ledgers add up, and say \
             how many objects there are (if several runs are in it, within bounds); and each row \
             came with one of its runs. --unaccounted promotes it all the same; builds of \
             kinto-export(1) that share a content, and lines without marks, need that. Rejects \
             in the staging are counted in a warning.",
            "The line that is printed has the staging, outcome, promoted (the time), note, rows (of \
             the staging), inserted, known, etags_renewed, objects, rejects, queued and runs. With \
             --dry-run, nothing is written, and the same counts are a forecast; open lists what \
             is against a promotion. In bh_run, the promotion is a row of its own.",
            "--drop removes a staging that was promoted and has not changed since; with \
             --unpromoted, any. Without NAME, a line for each staging is printed, or a table on a \
             terminal: staging, outcome (open, complete or promoted), rows, objects, rejects, \
             runs, promoted and open.",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, TERMINAL],
    },
    Page {
        name: "bh-export",
        description: &[
            "Writes a table of the database as lines, all from one snapshot, while loaders may be \
             at work. Memory does not grow with the table. With --table rows, the default, a line \
             is a record with bucket (if the row came with a run over a bucket), key, etag, \
             build_hash, created_at, id, metadata and build, in the order of the ids. \
             bh-validate(1) and bh-load(1) take these records. A row without an object, such as \
             one from Kinto, has no key. The build has the tokens that the database has: \
             PostgreSQL has its own form of some numbers, and SQLite keeps the text.",
            "--table objects writes key, etag and build_hash of each object that was loaded, also \
             of one whose build has another object's key. --table rejects writes the rejected \
             objects that bh-load --record-rejects has stored, as lines of a file of rejects, so \
             that they can be piped in again. (--rejects names the file of rejects, as in every \
             program.)",
            "The marks are those of other sources: begin, a mark for each page of up to 1000 \
             records, and end. On a terminal, and with --no-marks, only records are written. The \
             end mark has the snapshot: given as --since, the next export writes only what this \
             one has not seen. --since names the whole output, a file with its last line, or the \
             value itself. A file without an end mark is of an export that did not finish, and is \
             refused (78).",
            "In PostgreSQL --since is exact. What a loader had written and not committed when the \
             first export ran comes with the next one, and no row comes twice; a row that was \
             changed since, such as one with a renewed ETag, comes again. In SQLite, --since \
             writes the rows that were added, and does not know of other changes; objects and \
             rejects have none. Rows that were deleted are not named. A snapshot of another \
             database or table, or of a server that was restored or has failed over since, is \
             refused (78): export everything then. A standby can only be exported as a whole.",
            "A row whose text is not JSON, as SQLite allows, is rejected. If the server is lost \
             during the export, the run ends with 69 and without an end mark. bh-export reads the \
             exported table, and bh_run if it may, and writes nothing.",
        ],
        files: &[DATABASE_FILE],
        environment: &[DATABASE, STATSD, TERMINAL],
    },
    Page {
        name: "bh-derive",
        description: &[
            "Decides by the key which lines of a listing of Mozilla's archive are builds. It makes \
             the record of a build from its key, size and date, adds what the metadata next to the \
             builds say, checks the record, and writes {\"data\": record}, in the order of the \
             input. Lines are those of s3-list, of s3-inventory and of other tools, see \
             bh-lines(5). A + in a key is read as a space, as inventories and events write it, and \
             nothing else is decoded: use --raw-keys with s3-inventory. Other files are dropped \
             and counted. A build that gets no record is rejected with the reason: no_metadata, \
             bad_metadata, no_record, no_build_number, channel, platform, locale, version, bad_line, and \
             with --event bad_event. The event of a deletion is dropped.",
            "The metadata of a nightly are the .json, or else the .txt, of its English build; \
             those of a candidate are the .json in its English folder; those of a release are the \
             metadata of the latest candidate of its version, whose folders are listed once per \
             product. Each URL is requested once, however many languages need it, and the answers \
             are kept in a file between runs: metadata for ever, missing ones for a day, failures \
             for an hour. A run that was killed resumes from that file.",
            "If a server answers with an error, with another type or not at all, the request is \
             tried --tries times, after random waits of up to 1, 2, 4 and more seconds; 404 counts \
             as an answer. If the metadata of a candidate or a release still cannot be fetched, \
             their builds are rejected as failed, and their unit is held. If a listing of \
             candidates or the .json of a nightly cannot be fetched, or an answer does not come in \
             time, the run ends (69). If a listing of candidates does not exist, the run ends with \
             78, because all records would suffer.",
            "With --archive-bucket, listings and metadata are read by S3 from the bucket of the archive; \
             URLs in records are still those of --archive-url.",
            "With --event, lines are S3 events, bare or wrapped in SNS notifications, or lines of \
             a listing. The metadata of a new archive file are looked up as above; if there are \
             none yet, it is dropped, and its record is made when they come. The .json of a new \
             candidate or nightly leads to the records of the builds in its folders; what is not \
             there yet (404) is requested again. A rejected record does not hide others: there is \
             one reject per event, and what the archive did not deliver (failed) holds its unit, \
             so that the message comes again. Answers of the archive are kept in memory for \
             --refresh seconds. Create the records of events only if they are new (kinto-load \
             --if-not-exists).",
            "Records and ids are those of Buildhub's first jobs, byte for byte, except where those \
             were wrong. A bad line, bad metadata or a null channel rejects a record and no longer \
             ends the run. The number of a build is all its digits (build12 is 12). The metadata \
             of a release are those of exactly its version: neither 63.0.1 nor mozinfo files are \
             used for 63.0. The id of a candidate of ESR says so. Offsets of dates are applied. A \
             folder macosx is the platform macosx. Old .txt files may have Windows line ends, and \
             count only if their HTTP status is a success. The .buildhub.json of a nightly is not \
             its metadata, but that of Thunderbird is. Archives may end in .tar.xz, and a .zip is \
             ignored if a part of its URL begins with win, not if it contains win, as darwin does. \
             Connections are kept open, so a request on one that was lost is retried. Two archives \
             of one build still have the same id, as in existing collections; so .msi, .msix and \
             .pkg, next to an .exe or .dmg, remain unknown.",
        ],
        files: &[METADATA_FILE, FIRST_METADATA_FILE],
        environment: &[ARCHIVE, S3, PROXY, STATSD, TERMINAL],
    },
];

const METADATA_FILE: Entry = (
    ".bh-derive-metadata.ndjson",
    "in --cache-folder: the metadata requested so far, one per line. Locked while bh-derive runs; \
     a torn last line is removed. Delete it to request everything again.",
);
const FIRST_METADATA_FILE: Entry = (
    ".metadata-1.4.1.json",
    "the same file of Buildhub's first jobs; a new file starts with its contents.",
);

const RESUME_FILE: Entry = (
    "FILE",
    "the --resume-file: how far the run has come, see bh-lines(5). It is replaced atomically, and \
     locked while its program runs.",
);
const LOADED_FILE: Entry = (
    "FILE.loaded",
    "next to it: what bh-load has committed of that run. Only bh-load writes it, and locks it \
     while it runs.",
);
const DATABASE_FILE: Entry = (
    "buildhub.db",
    "the SQLite database in the current folder, unless another database is named.",
);

const S3: &[Entry] = &[
    (
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL",
        "the URL of an S3 server other than AWS.",
    ),
    (
        "AWS_REGION, AWS_DEFAULT_REGION",
        "the region; us-east-1 by default.",
    ),
    (
        "AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
        "the profile, and the files that define it.",
    ),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "credentials; without them, those of the profile, single sign-on, web identity, container \
         or machine, in the usual order of AWS.",
    ),
    (
        "AWS_CA_BUNDLE",
        "a file of certificates to trust instead of the system's; else ca_bundle of the profile.",
    ),
];
const SQS: &[Entry] = &[
    (
        "AWS_ENDPOINT_URL_SQS",
        "the URL of the server, if it is not that of the queue; for a queue of AWS also \
         AWS_ENDPOINT_URL.",
    ),
    (
        "AWS_REGION, AWS_DEFAULT_REGION",
        "the region, if the URL of the queue does not name it.",
    ),
    (
        "AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "the credentials, and all other sources of AWS's tools.",
    ),
    (
        "AWS_CA_BUNDLE",
        "the certificates to trust, instead of the system's.",
    ),
];
const PROXY: &[Entry] = &[(
    "http_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
    "the proxies for http, for https and for both, and the hosts that are reached without one, as \
     curl reads them: also in lower case, and http_proxy in lower case alone. AWS's metadata \
     services and PostgreSQL are never asked through a proxy.",
)];
const ARCHIVE: &[Entry] = &[
    (
        "ARCHIVE_URL, CACHE_FOLDER, PRODUCTS",
        "the URL of the archive, the cache folder, and the products, unless a flag is given.",
    ),
    (
        "NB_PARALLEL_REQUESTS, NB_RETRY_REQUEST, TIMEOUT_SECONDS",
        "same as --concurrency, --tries and --request-timeout.",
    ),
    (
        "MIN_AGE_LAST_MODIFIED_HOURS",
        "same as --max-age (despite its name): hours, or a time with a unit.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust over HTTP instead of the system's; it must be readable.",
    ),
];
const DATABASE: &[Entry] = &[
    (
        "DATABASE_URL",
        "the database: sqlite:FILE or postgres://USER@HOST/NAME. --database takes precedence.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust instead of the system's, if sslmode is verify-full \
         and no sslrootcert is given; it must be readable. Without sslrootcert, verify-ca is \
         verify-full.",
    ),
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, \
         PGSSLROOTCERT, PGSSLCRL, PGSSLCERT, PGSSLKEY, PGSSLMINPROTOCOLVERSION, \
         PGSSLMAXPROTOCOLVERSION, PGCHANNELBINDING, PGCONNECT_TIMEOUT, PGTARGETSESSIONATTRS, \
         PGAPPNAME, PGOPTIONS",
        "settings that are not in the PostgreSQL URL, as for psql(1); passwords also come from \
         ~/.pgpass, which is ignored if others can read it, and certificates from ~/.postgresql. \
         With authorities to trust, sslmode=require checks as verify-ca does. Settings that guard \
         the connection and are not supported, such as PGREQUIREAUTH, end the run with 78.",
    ),
];
const KINTO: &[Entry] = &[
    (
        "KINTO_SERVER_URL, KINTO_BUCKET, KINTO_COLLECTION",
        "the URL of the server with its version, the bucket, and the collection. Flags take \
         precedence.",
    ),
    (
        "KINTO_AUTH",
        "USER:PASSWORD, or Bearer TOKEN; --auth-file takes precedence.",
    ),
    (
        "SERVER_URL, BUCKET, COLLECTION, AUTH",
        "the same, if the long names are not set; a warning names those that are used.",
    ),
    (
        "SSL_CERT_FILE",
        "a file of certificates to trust besides the public authorities; it must be readable.",
    ),
];
const KINTO_LOAD: &[Entry] = &[(
    "CACHE_FOLDER, BATCH_MAX_REQUESTS",
    "same as --cache-folder and --batch-size, which take precedence.",
)];
const KINTO_DATABASE: &[Entry] = &[
    (
        "KINTO_DATABASE_URL",
        "Kinto's own PostgreSQL database. --kinto-database takes precedence.",
    ),
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, \
         PGSSLROOTCERT, PGSSLCRL, PGSSLCERT, PGSSLKEY, PGSSLMINPROTOCOLVERSION, \
         PGSSLMAXPROTOCOLVERSION, PGCHANNELBINDING, PGCONNECT_TIMEOUT, PGTARGETSESSIONATTRS, \
         PGAPPNAME, PGOPTIONS",
        "settings that are not in its URL, as for psql(1); passwords also come from ~/.pgpass, \
         which is ignored if others can read it, and certificates from ~/.postgresql. Settings \
         that guard the connection and are not supported, such as PGREQUIREAUTH, end the run with \
         78.",
    ),
];
const STATSD: &[Entry] = &[(
    "STATSD_HOST, STATSD_PORT, STATSD_NAMESPACE",
    "the statsd server that counts are sent to, and the prefix of their names; without a host, \
     nothing is sent.",
)];
const ELASTICSEARCH: &[Entry] = &[(
    "ELASTICSEARCH_URL",
    "the Elasticsearch or OpenSearch in which new rows are indexed. --elasticsearch takes \
     precedence.",
)];
const TERMINAL: &[Entry] = &[(
    "TERM",
    "if it is dumb or missing, progress is printed as lines instead of rows at the bottom.",
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
