CREATE TABLE IF NOT EXISTS main_build (
    id serial PRIMARY KEY,
    build_hash varchar(45) NOT NULL UNIQUE,
    build jsonb NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamp with time zone NOT NULL,
    s3_object_key varchar(400),
    s3_object_etag varchar(400)
);
CREATE TABLE IF NOT EXISTS bh_object (
    key text PRIMARY KEY,
    etag text NOT NULL,
    build_hash varchar(45) NOT NULL
);
CREATE TABLE IF NOT EXISTS bh_outbox (
    id bigint PRIMARY KEY,
    error text,
    reported boolean NOT NULL DEFAULT false
);
