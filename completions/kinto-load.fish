complete -c kinto-load -l server -d 'The server, with its version: http://localhost:8888/v1' -r
complete -c kinto-load -l kinto-bucket -d 'Bucket of the records' -r
complete -c kinto-load -l kinto-collection -d 'Collection of the records' -r
complete -c kinto-load -l auth-file -d 'A file with USER:PASSWORD, or Bearer TOKEN, in its first line; without it the variable KINTO_AUTH' -r -F
complete -c kinto-load -l tries -d 'Maximum number of tries of a request' -r
complete -c kinto-load -l retries -d 'The former name: tries but for the first' -r
complete -c kinto-load -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c kinto-load -l manifest -d 'A kinto-wizard manifest in place of the built-in one' -r -F
complete -c kinto-load -l cache-folder -d 'Where --skip-unchanged keeps what the server has' -r -F
complete -c kinto-load -l concurrency -d 'Maximum number of concurrent requests; Kinto takes batches of one collection one by one' -r
complete -c kinto-load -l batch-size -d 'Records in a batch at most; the server has a limit of its own' -r
complete -c kinto-load -l flush-interval -d 'Maximum time that a record waits for its batch to fill up' -r
complete -c kinto-load -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c kinto-load -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c kinto-load -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c kinto-load -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c kinto-load -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c kinto-load -l initialize -d 'Create bucket and collection, or change of them what differs, before anything is sent'
complete -c kinto-load -l if-not-exists -d 'Leave records as they are that are there already'
complete -c kinto-load -l skip-unchanged -d 'Send only records that differ from what the server has'
complete -c kinto-load -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c kinto-load -l marks -d 'Write the marks of what is stored'
complete -c kinto-load -s q -l quiet -d 'Log errors and the summary alone'
complete -c kinto-load -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c kinto-load -s h -l help -d 'Print help'
complete -c kinto-load -s V -l version -d 'Print version'
