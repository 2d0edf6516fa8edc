//! The programs, one module each, and the table that names them.

pub mod bh_audit;
pub mod bh_derive;
pub mod bh_export;
pub mod bh_fetch;
pub mod bh_filter;
pub mod bh_index;
pub mod bh_load;
pub mod bh_promote;
pub mod bh_validate;
pub mod kinto_export;
pub mod kinto_load;
pub mod s3_inventory;
pub mod s3_list;
pub mod sqs_delete;
pub mod sqs_receive;
pub mod sqs_send;

use clap::Command;

use crate::cli::command;

/// A row of the table of programs.
pub struct Stage {
    pub name: &'static str,
    pub reads: &'static str,
    pub writes: &'static str,
    pub touches: &'static str,
    pub command: fn() -> Command,
}

/// Every program, in pipeline order.
pub const STAGES: &[Stage] = &[
    Stage {
        name: "s3-list",
        reads: "nothing",
        writes: "one record per key, one mark per page",
        touches: "S3 (list), the resume file",
        command: command::<s3_list::Args>,
    },
    Stage {
        name: "s3-inventory",
        reads: "CSV, or the files of an inventory",
        writes: "one record per row, one mark per file",
        touches: "files, S3 (get, list), the resume file",
        command: command::<s3_inventory::Args>,
    },
    Stage {
        name: "sqs-receive",
        reads: "nothing",
        writes: "one record per created object, one mark per message",
        touches: "SQS (receive, extend)",
        command: command::<sqs_receive::Args>,
    },
    Stage {
        name: "bh-filter",
        reads: "records, any listing",
        writes: "the wanted records that are not in the database yet",
        touches: "the database (reads)",
        command: command::<bh_filter::Args>,
    },
    Stage {
        name: "bh-audit",
        reads: "any listing, with marks",
        writes: "the records that differ from the database, with `audit`",
        touches: "the database (reads)",
        command: command::<bh_audit::Args>,
    },
    Stage {
        name: "bh-fetch",
        reads: "records",
        writes: "the records with `build`",
        touches: "S3 (get)",
        command: command::<bh_fetch::Args>,
    },
    Stage {
        name: "bh-validate",
        reads: "records with `build`",
        writes: "the valid ones",
        touches: "nothing",
        command: command::<bh_validate::Args>,
    },
    Stage {
        name: "kinto-export",
        reads: "nothing",
        writes: "records with `build`, one mark per page",
        touches: "Kinto or its database (reads), the resume file",
        command: command::<kinto_export::Args>,
    },
    Stage {
        name: "bh-load",
        reads: "records with `build`",
        writes: "with --marks, the marks of what is stored",
        touches: "the database, Elasticsearch, the confirmed part of the resume file",
        command: command::<bh_load::Args>,
    },
    Stage {
        name: "bh-promote",
        reads: "nothing",
        writes: "one line per staging, or what a promotion changed",
        touches: "the database and its stagings",
        command: command::<bh_promote::Args>,
    },
    Stage {
        name: "bh-export",
        reads: "nothing",
        writes: "the rows of the database as records, with marks",
        touches: "the database (reads)",
        command: command::<bh_export::Args>,
    },
    Stage {
        name: "bh-index",
        reads: "nothing",
        writes: "one line per document that differs from its row",
        touches: "Elasticsearch, the database",
        command: command::<bh_index::Args>,
    },
    Stage {
        name: "bh-derive",
        reads: "any listing of the archive, or S3 events",
        writes: "one release record per build, as `data`",
        touches: "the archive by HTTP or S3 (get, list), its cache of metadata",
        command: command::<bh_derive::Args>,
    },
    Stage {
        name: "kinto-load",
        reads: "records as `data`",
        writes: "with --marks, the marks of what is stored",
        touches: "Kinto, its cache",
        command: command::<kinto_load::Args>,
    },
    Stage {
        name: "sqs-delete",
        reads: "the marks of messages",
        writes: "nothing",
        touches: "SQS (delete)",
        command: command::<sqs_delete::Args>,
    },
    Stage {
        name: "sqs-send",
        reads: "any lines",
        writes: "with --marks, the marks of what is sent",
        touches: "SQS (send)",
        command: command::<sqs_send::Args>,
    },
];
