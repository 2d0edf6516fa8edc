-- One COPY into a temporary table, one INSERT from there.
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMPORARY TABLE batch (hash text, build jsonb, key text, etag text);
\copy batch FROM pstdin
INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
SELECT hash, build, '{}', now(), key, etag FROM batch ORDER BY hash
ON CONFLICT (build_hash) DO NOTHING;
COMMIT;
