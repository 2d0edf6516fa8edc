complete -c s3-list -l resume-file -d 'Keep the state of the run here, as it goes' -r -F
complete -c s3-list -l checkpoint -d 'Go on from what was written (listed), or from what bh-load confirmed (loaded)' -r -f -a "listed\t''
loaded\t''"
complete -c s3-list -l after -d 'List only keys behind this one, in byte order' -r
complete -c s3-list -l through -d 'List only keys up to and with this one' -r
complete -c s3-list -l concurrency -d 'Requests at work at once; 1 lists page after page' -r
complete -c s3-list -l page-size -d 'Keys per request' -r
complete -c s3-list -l max-rps -d 'Requests a second at most' -r
complete -c s3-list -l plan -d 'Print N ranges of about equal size that make up the listing, and list nothing' -r
complete -c s3-list -l ranges -d 'List only the ranges in this file, or on standard input with -' -r -F
complete -c s3-list -l shard -d 'List only every N-th range of the plan in --ranges, from the I-th on; without a file, of a plan made now' -r
complete -c s3-list -l show-state -d 'Say how far the listing of this resume file has come, and stop' -r -F
complete -c s3-list -l endpoint-url -d 'Address of an S3 that is not AWS\'s [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c s3-list -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c s3-list -l profile -d 'Profile in AWS\'s configuration [env: AWS_PROFILE]' -r
complete -c s3-list -l addressing-style -d 'Where a request names the bucket: in the path of the address, or in the name of the host; auto: in the path of a server that is not AWS\'s' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c s3-list -l tries -d 'Maximum number of tries of a request' -r
complete -c s3-list -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c s3-list -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c s3-list -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c s3-list -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c s3-list -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c s3-list -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c s3-list -l resume -d 'Go on where an earlier run stopped; begin anew when it had finished, or the files of an inventory are others'
complete -c s3-list -l no-marks -d 'Write records alone, for jq, head, sort and wc; a loader behind them confirms nothing'
complete -c s3-list -l ordered -d 'Hand keys on in their order; pages that come too early wait in memory, then in TMPDIR'
complete -c s3-list -l no-sign-request -d 'Anonymous access, for public buckets'
complete -c s3-list -l request-payer -d 'Agree to pay for requests to the bucket of somebody else'
complete -c s3-list -s q -l quiet -d 'Log errors and the summary alone'
complete -c s3-list -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c s3-list -s h -l help -d 'Print help'
complete -c s3-list -s V -l version -d 'Print version'
