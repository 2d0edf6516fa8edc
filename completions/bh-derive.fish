complete -c bh-derive -l products -d 'Product folders to include, separated by spaces; not used with --event' -r
complete -c bh-derive -l max-age -d 'Skip objects last modified longer ago than this; a bare number means hours, 0 means no limit' -r
complete -c bh-derive -l concurrency -d 'Maximum number of concurrent requests' -r
complete -c bh-derive -l refresh -d 'With --event, how long to reuse an answer of the archive' -r
complete -c bh-derive -l archive-url -d 'URL of the archive; the download URLs in records begin with it' -r
complete -c bh-derive -l archive-bucket -d 'Read listings and metadata from this bucket instead of over HTTP' -r
complete -c bh-derive -l cache-folder -d 'Folder for the metadata that is kept between runs' -r -F
complete -c bh-derive -l endpoint-url -d 'URL of an S3 server other than AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]' -r
complete -c bh-derive -l region -d 'Region of the bucket [env: AWS_REGION; else that of the profile]' -r
complete -c bh-derive -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c bh-derive -l addressing-style -d 'Where requests name the bucket: in the path of the URL, or in its host name (virtual); auto: in the path, except for AWS' -r -f -a "auto\t''
path\t''
virtual\t''"
complete -c bh-derive -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-derive -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-derive -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-derive -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-derive -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-derive -l tries -d 'Maximum number of attempts per request' -r
complete -c bh-derive -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c bh-derive -l event -d 'Read S3 events, bare or wrapped in SNS notifications, instead of a listing'
complete -c bh-derive -l no-sign-request -d 'Send anonymous requests, for public buckets'
complete -c bh-derive -l request-payer -d 'Pay for the requests yourself (requester-pays buckets)'
complete -c bh-derive -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-derive -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-derive -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-derive -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-derive -s h -l help -d 'Print help'
complete -c bh-derive -s V -l version -d 'Print version'
