complete -c bh-fetch -l concurrency -d 'Maximum number of concurrent requests' -r
complete -c bh-fetch -l max-size -d 'Refuse larger objects: bytes, or with a unit, as in 16M, 16MiB and 16MB' -r
complete -c bh-fetch -l bucket -d 'Bucket of the lines that name none' -r
complete -c bh-fetch -l endpoint-url -d 'Address of an S3 that is not AWS\'s [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c bh-fetch -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c bh-fetch -l profile -d 'Profile in AWS\'s configuration [env: AWS_PROFILE]' -r
complete -c bh-fetch -l addressing-style -d 'Where a request names the bucket: in the path of the address, or in the name of the host; auto: in the path of a server that is not AWS\'s' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c bh-fetch -l tries -d 'Maximum number of tries of a request' -r
complete -c bh-fetch -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c bh-fetch -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c bh-fetch -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-fetch -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c bh-fetch -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-fetch -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c bh-fetch -l no-sign-request -d 'Anonymous access, for public buckets'
complete -c bh-fetch -l request-payer -d 'Agree to pay for requests to the bucket of somebody else'
complete -c bh-fetch -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c bh-fetch -s q -l quiet -d 'Log errors and the summary alone'
complete -c bh-fetch -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-fetch -s h -l help -d 'Print help'
complete -c bh-fetch -s V -l version -d 'Print version'
