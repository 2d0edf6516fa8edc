CREATE TABLE IF NOT EXISTS main_build (
    id integer PRIMARY KEY AUTOINCREMENT,
    build_hash varchar(45) NOT NULL UNIQUE,
    build text NOT NULL,
    metadata text NOT NULL DEFAULT '{}',
    created_at text NOT NULL,
    s3_object_key varchar(400),
    s3_object_etag varchar(400)
);
CREATE TABLE IF NOT EXISTS bh_object (
    key text PRIMARY KEY,
    etag text NOT NULL,
    build_hash varchar(45) NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bh_reject (
    key text PRIMARY KEY,
    etag text NOT NULL,
    kind text NOT NULL,
    stage text NOT NULL,
    message text NOT NULL,
    line text NOT NULL,
    run text NOT NULL,
    verdict text
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bh_outbox (
    id integer PRIMARY KEY,
    error text,
    reported boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS bh_database (
    id text PRIMARY KEY,
    generation integer NOT NULL DEFAULT 0,
    "index" text
);
CREATE TABLE IF NOT EXISTS bh_run (
    id text PRIMARY KEY,
    source text NOT NULL,
    criteria text NOT NULL,
    version text NOT NULL,
    started text NOT NULL,
    as_of text,
    finished text,
    outcome text NOT NULL DEFAULT 'running',
    error text,
    counts text,
    first_id integer NOT NULL,
    step integer NOT NULL DEFAULT 0,
    loader text NOT NULL
);
