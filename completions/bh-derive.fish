complete -c bh-derive -l products -d 'Folders of products to look at, separated by blanks; events are of any' -r
complete -c bh-derive -l max-age -d 'Skip objects last modified longer ago than this; a bare number is hours, 0 is no limit' -r
complete -c bh-derive -l concurrency -d 'Maximum number of concurrent requests' -r
complete -c bh-derive -l refresh -d 'With --event, ask again after so long for what the archive said' -r
complete -c bh-derive -l archive-url -d 'Address of the archive: what every build\'s URL begins with' -r
complete -c bh-derive -l archive-bucket -d 'Read listings and metadata from this bucket, not over HTTP' -r
complete -c bh-derive -l cache-folder -d 'Folder of the file that keeps metadata from run to run' -r -F
complete -c bh-derive -l endpoint-url -d 'Address of an S3 that is not AWS\'s [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c bh-derive -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c bh-derive -l profile -d 'Profile in AWS\'s configuration [env: AWS_PROFILE]' -r
complete -c bh-derive -l addressing-style -d 'Where a request names the bucket: in the path of the address, or in the name of the host; auto: in the path of a server that is not AWS\'s' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c bh-derive -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c bh-derive -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-derive -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c bh-derive -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-derive -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c bh-derive -l tries -d 'Maximum number of tries of a request' -r
complete -c bh-derive -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c bh-derive -l event -d 'Read S3 events, in notifications of SNS or not, and list what belongs to them'
complete -c bh-derive -l no-sign-request -d 'Anonymous access, for public buckets'
complete -c bh-derive -l request-payer -d 'Agree to pay for requests to the bucket of somebody else'
complete -c bh-derive -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c bh-derive -s q -l quiet -d 'Log errors and the summary alone'
complete -c bh-derive -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-derive -s h -l help -d 'Print help'
complete -c bh-derive -s V -l version -d 'Print version'
