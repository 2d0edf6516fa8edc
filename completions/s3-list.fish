complete -c s3-list -l resume-file -d 'Save the progress of the run to this file' -r -F
complete -c s3-list -l checkpoint -d 'Resume after what was written (listed), or after what bh-load confirmed (loaded) [default: loaded if bh-load takes part]' -r -f -a "listed\t''
loaded\t''"
complete -c s3-list -l after -d 'Start after this key (exclusive, in byte order)' -r
complete -c s3-list -l through -d 'Stop at this key (inclusive)' -r
complete -c s3-list -l concurrency -d 'Maximum number of concurrent requests; 1 lists pages sequentially' -r
complete -c s3-list -l page-size -d 'Keys per request' -r
complete -c s3-list -l max-rps -d 'Maximum number of requests per second' -r
complete -c s3-list -l plan -d 'Split the listing into N ranges of about equal size; print them, and list nothing' -r
complete -c s3-list -l ranges -d 'List only the ranges in this file; - reads standard input' -r -F
complete -c s3-list -l shard -d 'List only every N-th range of the plan in --ranges, starting with the I-th; without --ranges, of a plan made now' -r
complete -c s3-list -l show-state -d 'Print how far the listing of this resume file has come, and exit' -r -F
complete -c s3-list -l endpoint-url -d 'URL of an S3 server other than AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c s3-list -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c s3-list -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c s3-list -l addressing-style -d 'Where requests name the bucket: in the path of the URL, or in its host name (virtual); auto: in the path, except for AWS' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c s3-list -l tries -d 'Maximum number of attempts per request' -r
complete -c s3-list -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c s3-list -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c s3-list -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c s3-list -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c s3-list -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c s3-list -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c s3-list -l resume -d 'Resume the previous run, or start a new one if it has finished'
complete -c s3-list -l no-marks -d 'Write only records, and no marks (receipts, see bh-pipes(7)), for jq, head, sort and wc; a loader after them confirms nothing'
complete -c s3-list -l ordered -d 'Write keys in sorted order; pages that arrive early are buffered in memory, then in TMPDIR'
complete -c s3-list -l no-sign-request -d 'Send anonymous requests, for public buckets'
complete -c s3-list -l request-payer -d 'Pay for the requests yourself (requester-pays buckets)'
complete -c s3-list -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c s3-list -s q -l quiet -d 'Log only errors and the summary'
complete -c s3-list -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c s3-list -s h -l help -d 'Print help'
complete -c s3-list -s V -l version -d 'Print version'
