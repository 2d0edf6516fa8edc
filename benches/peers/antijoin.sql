-- The document stays text until an anti-join on the hash has found what is new.
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMPORARY TABLE batch (hash text, build text, key text, etag text);
\copy batch FROM pstdin
INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
SELECT hash, build::jsonb, '{}', now(), key, etag FROM batch
WHERE NOT EXISTS (SELECT FROM main_build WHERE build_hash = hash) ORDER BY hash
ON CONFLICT (build_hash) DO NOTHING;
COMMIT;
