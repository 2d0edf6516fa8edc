complete -c bh-fetch -l concurrency -d 'Maximum number of concurrent requests' -r
complete -c bh-fetch -l max-size -d 'Reject larger objects: bytes, or with a unit, such as 16M, 16MiB or 16MB' -r
complete -c bh-fetch -l bucket -d 'Bucket for lines that do not name one' -r
complete -c bh-fetch -l endpoint-url -d 'URL of an S3 server other than AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c bh-fetch -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c bh-fetch -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c bh-fetch -l addressing-style -d 'Where requests name the bucket: in the path of the URL, or in its host name (virtual); auto: in the path, except for AWS' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c bh-fetch -l tries -d 'Maximum number of attempts per request' -r
complete -c bh-fetch -l read-timeout -d 'Give up on a request after this long without data' -r
complete -c bh-fetch -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-fetch -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-fetch -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-fetch -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-fetch -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-fetch -l no-sign-request -d 'Send anonymous requests, for public buckets'
complete -c bh-fetch -l request-payer -d 'Pay for the requests yourself (requester-pays buckets)'
complete -c bh-fetch -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-fetch -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-fetch -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-fetch -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-fetch -s h -l help -d 'Print help'
complete -c bh-fetch -s V -l version -d 'Print version'
