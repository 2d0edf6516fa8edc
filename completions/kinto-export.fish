complete -c kinto-export -l server -d 'The server, with its version: http://localhost:8888/v1' -r
complete -c kinto-export -l kinto-bucket -d 'Bucket of the records' -r
complete -c kinto-export -l kinto-collection -d 'Collection of the records' -r
complete -c kinto-export -l auth-file -d 'A file with USER:PASSWORD, or Bearer TOKEN, in its first line; without it the variable KINTO_AUTH' -r -F
complete -c kinto-export -l tries -d 'Maximum number of tries of a request' -r
complete -c kinto-export -l retries -d 'The former name: tries but for the first' -r
complete -c kinto-export -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c kinto-export -l kinto-database -d 'Read Kinto\'s own PostgreSQL instead: postgres://…' -r
complete -c kinto-export -l since -d 'Only what has changed since then: a date in RFC 3339, milliseconds since 1970, or an ETag of Kinto\'s' -r
complete -c kinto-export -l resume-file -d 'Keep the state of the run here, as it goes' -r -F
complete -c kinto-export -l checkpoint -d 'Go on from what was written (listed), or from what bh-load confirmed (loaded)' -r -f -a "listed\t''
loaded\t''"
complete -c kinto-export -l concurrency -d 'Maximum number of concurrent requests, or connections; with more than 1 records come in no order' -r
complete -c kinto-export -l page-size -d 'Records to ask for at once' -r
complete -c kinto-export -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c kinto-export -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c kinto-export -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c kinto-export -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c kinto-export -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c kinto-export -l keep-meta -d 'Keep id, last_modified and schema, beside the build'
complete -c kinto-export -l resume -d 'Go on where an earlier run stopped; begin anew when it had finished, or the files of an inventory are others'
complete -c kinto-export -l no-marks -d 'Write records alone, for jq, head, sort and wc; a loader behind them confirms nothing'
complete -c kinto-export -s q -l quiet -d 'Log errors and the summary alone'
complete -c kinto-export -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c kinto-export -s h -l help -d 'Print help'
complete -c kinto-export -s V -l version -d 'Print version'
