//! The statements that create the tables.

pub const COUNT: usize = 6;

/// Each table, Buildhub's first, with the statement that creates it.
pub const TABLES: [(&str, &str); COUNT] = [
    (
        "main_build",
        "CREATE TABLE main_build (
            id serial PRIMARY KEY,
            build_hash varchar(45) NOT NULL UNIQUE,
            build jsonb NOT NULL,
            metadata jsonb NOT NULL DEFAULT '{}',
            created_at timestamp with time zone NOT NULL,
            s3_object_key varchar(400),
            s3_object_etag varchar(400)
        );
        -- As Django names it.
        CREATE INDEX main_build_build_hash_8fe6dad8_like
            ON main_build (build_hash varchar_pattern_ops)",
    ),
    (
        "bh_object",
        "CREATE TABLE bh_object (
            key text PRIMARY KEY,
            etag text NOT NULL,
            build_hash varchar(45) NOT NULL
        )",
    ),
    (
        "bh_outbox",
        "CREATE TABLE bh_outbox (
            id bigint PRIMARY KEY,
            error text,
            reported boolean NOT NULL DEFAULT false
        )",
    ),
    (
        "bh_database",
        "CREATE TABLE bh_database (
            id text PRIMARY KEY,
            generation bigint NOT NULL DEFAULT 0,
            \"index\" text
        );
        INSERT INTO bh_database (id)
            SELECT md5(random()::text || random()::text || clock_timestamp()::text)",
    ),
    (
        "bh_run",
        "CREATE TABLE bh_run (
            id text PRIMARY KEY,
            source text NOT NULL,
            criteria json NOT NULL,
            version text NOT NULL,
            started timestamp with time zone NOT NULL,
            as_of timestamp with time zone,
            finished timestamp with time zone,
            outcome text NOT NULL DEFAULT 'running',
            error text,
            counts json,
            first_id bigint NOT NULL,
            step bigint NOT NULL DEFAULT 0,
            loader text NOT NULL
        )",
    ),
    (
        "bh_reject",
        "CREATE TABLE bh_reject (
            key text PRIMARY KEY,
            etag text NOT NULL,
            kind text NOT NULL,
            stage text NOT NULL,
            message text NOT NULL,
            line text NOT NULL,
            run text NOT NULL,
            verdict text
        )",
    ),
];

/// Their names.
pub const NAMES: [&str; COUNT] = [
    TABLES[0].0,
    TABLES[1].0,
    TABLES[2].0,
    TABLES[3].0,
    TABLES[4].0,
    TABLES[5].0,
];
