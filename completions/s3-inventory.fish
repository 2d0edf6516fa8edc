complete -c s3-inventory -l columns -d 'Names of the columns where no manifest tells them: all in CSV, some in Parquet [default in CSV: Bucket, Key, Size, LastModifiedDate, ETag]' -r
complete -c s3-inventory -l latest -d 'Read the newest of the inventories in the dated folders below this s3://bucket/prefix/' -r
complete -c s3-inventory -l mozilla -d 'Read the newest inventory of Mozilla\'s archive that is published under this name' -r -f -a "firefox\t''
archive\t''"
complete -c s3-inventory -l keep-manifest -d 'Keep the manifest that is found here, and when it is here read no other' -r -F
complete -c s3-inventory -l files -d 'Where the files of a manifest are: a folder, or s3://bucket/prefix/ to put before their keys [default: its own bucket, or for one that is here the destination bucket]' -r
complete -c s3-inventory -l resume-file -d 'Keep the state of the run here, as it goes' -r -F
complete -c s3-inventory -l checkpoint -d 'Go on from what was written (listed), or from what bh-load confirmed (loaded)' -r -f -a "listed\t''
loaded\t''"
complete -c s3-inventory -l concurrency -d 'Files to read at once [default: one a core]' -r
complete -c s3-inventory -l endpoint-url -d 'Address of an S3 that is not AWS\'s [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c s3-inventory -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c s3-inventory -l profile -d 'Profile in AWS\'s configuration [env: AWS_PROFILE]' -r
complete -c s3-inventory -l addressing-style -d 'Where a request names the bucket: in the path of the address, or in the name of the host; auto: in the path of a server that is not AWS\'s' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c s3-inventory -l tries -d 'Maximum number of tries of a request' -r
complete -c s3-inventory -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c s3-inventory -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c s3-inventory -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c s3-inventory -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c s3-inventory -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c s3-inventory -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c s3-inventory -l raw-keys -d 'Take keys as they stand in CSV, where they are not URL-encoded'
complete -c s3-inventory -l all-versions -d 'Take all versions of an object, not the latest alone'
complete -c s3-inventory -l delete-markers -d 'Take delete markers too'
complete -c s3-inventory -l resume -d 'Go on where an earlier run stopped; begin anew when it had finished, or the files of an inventory are others'
complete -c s3-inventory -l no-marks -d 'Write records alone, for jq, head, sort and wc; a loader behind them confirms nothing'
complete -c s3-inventory -l no-sign-request -d 'Anonymous access, for public buckets'
complete -c s3-inventory -l request-payer -d 'Agree to pay for requests to the bucket of somebody else'
complete -c s3-inventory -s q -l quiet -d 'Log errors and the summary alone'
complete -c s3-inventory -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c s3-inventory -s h -l help -d 'Print help'
complete -c s3-inventory -s V -l version -d 'Print version'
