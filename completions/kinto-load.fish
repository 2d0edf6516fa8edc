complete -c kinto-load -l server -d 'URL of the server with its version, such as http://localhost:8888/v1' -r
complete -c kinto-load -l kinto-bucket -d 'Bucket of the records' -r
complete -c kinto-load -l kinto-collection -d 'Collection of the records' -r
complete -c kinto-load -l auth-file -d 'File whose first line is USER:PASSWORD or Bearer TOKEN; without it, the variable KINTO_AUTH is used' -r -F
complete -c kinto-load -l tries -d 'Maximum number of attempts per request' -r
complete -c kinto-load -l retries -d 'The former name: tries but for the first' -r
complete -c kinto-load -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c kinto-load -l manifest -d 'Use this kinto-wizard manifest instead of the built-in one' -r -F
complete -c kinto-load -l cache-folder -d 'Folder in which --skip-unchanged remembers the records of the server' -r -F
complete -c kinto-load -l concurrency -d 'Maximum number of concurrent requests; Kinto processes one batch of a collection at a time' -r
complete -c kinto-load -l batch-size -d 'Maximum number of records per batch; the server has its own limit' -r
complete -c kinto-load -l flush-interval -d 'Maximum time that a record waits for its batch to fill up' -r
complete -c kinto-load -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c kinto-load -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c kinto-load -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c kinto-load -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c kinto-load -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c kinto-load -l initialize -d 'Create or update the bucket and the collection first'
complete -c kinto-load -l if-not-exists -d 'Do not overwrite existing records'
complete -c kinto-load -l skip-unchanged -d 'Send only records that differ from what the server has'
complete -c kinto-load -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c kinto-load -l marks -d 'Write the marks of what is stored'
complete -c kinto-load -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c kinto-load -s q -l quiet -d 'Log only errors and the summary'
complete -c kinto-load -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c kinto-load -s h -l help -d 'Print help'
complete -c kinto-load -s V -l version -d 'Print version'
