complete -c s3-inventory -l columns -d 'Names of the columns, if there is no manifest: all of them for CSV, some for Parquet [default in CSV: Bucket, Key, Size, LastModifiedDate, ETag]' -r
complete -c s3-inventory -l latest -d 'Read the newest inventory in the dated folders below this s3://bucket/prefix/' -r
complete -c s3-inventory -l mozilla -d 'Read the newest inventory that Mozilla publishes under this name' -r -f -a "firefox\t''
archive\t''"
complete -c s3-inventory -l keep-manifest -d 'Save the manifest to this file; if the file exists, use it' -r -F
complete -c s3-inventory -l files -d 'Where the files of the manifest are: a folder, or s3://bucket/prefix/ to put before their keys [default: the manifest\'s bucket, or the destination bucket of a local manifest]' -r
complete -c s3-inventory -l resume-file -d 'Save the progress of the run to this file' -r -F
complete -c s3-inventory -l checkpoint -d 'Resume after what was written (listed), or after what bh-load confirmed (loaded) [default: loaded if bh-load takes part]' -r -f -a "listed\t''
loaded\t''"
complete -c s3-inventory -l concurrency -d 'Maximum number of files read concurrently [default: one per core]' -r
complete -c s3-inventory -l endpoint-url -d 'URL of an S3 server other than AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c s3-inventory -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c s3-inventory -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c s3-inventory -l addressing-style -d 'Where requests name the bucket: in the path of the URL, or in its host name (virtual); auto: in the path, except for AWS' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c s3-inventory -l tries -d 'Maximum number of attempts per request' -r
complete -c s3-inventory -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c s3-inventory -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c s3-inventory -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c s3-inventory -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c s3-inventory -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c s3-inventory -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c s3-inventory -l raw-keys -d 'Do not URL-decode keys in CSV'
complete -c s3-inventory -l all-versions -d 'Include all versions of an object, not just the latest'
complete -c s3-inventory -l delete-markers -d 'Include delete markers'
complete -c s3-inventory -l resume -d 'Resume the previous run, or start a new one if it has finished'
complete -c s3-inventory -l no-marks -d 'Write only records, and no marks (receipts, see bh-pipes(7)), for jq, head, sort and wc; a loader after them confirms nothing'
complete -c s3-inventory -l no-sign-request -d 'Send anonymous requests, for public buckets'
complete -c s3-inventory -l request-payer -d 'Pay for the requests yourself (requester-pays buckets)'
complete -c s3-inventory -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c s3-inventory -s q -l quiet -d 'Log only errors and the summary'
complete -c s3-inventory -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c s3-inventory -s h -l help -d 'Print help'
complete -c s3-inventory -s V -l version -d 'Print version'
