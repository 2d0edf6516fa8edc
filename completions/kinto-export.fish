complete -c kinto-export -l server -d 'URL of the server with its version, such as http://localhost:8888/v1' -r
complete -c kinto-export -l kinto-bucket -d 'Bucket of the records' -r
complete -c kinto-export -l kinto-collection -d 'Collection of the records' -r
complete -c kinto-export -l auth-file -d 'File whose first line is USER:PASSWORD or Bearer TOKEN; without it, the variable KINTO_AUTH is used' -r -F
complete -c kinto-export -l tries -d 'Maximum number of attempts per request' -r
complete -c kinto-export -l retries -d 'The former name: tries but for the first' -r
complete -c kinto-export -l request-timeout -d 'Give up on a request that takes longer than this' -r
complete -c kinto-export -l kinto-database -d 'Read from Kinto\'s own PostgreSQL database instead: postgres://…' -r
complete -c kinto-export -l since -d 'Only what has changed since then: a date in RFC 3339, milliseconds since 1970, an ETag of Kinto\'s, or last: what has changed since the last run of the --resume-file' -r
complete -c kinto-export -l margin -d 'With --since last, also what has changed this long before: it may not have been visible then' -r
complete -c kinto-export -l resume-file -d 'Save the progress of the run to this file' -r -F
complete -c kinto-export -l checkpoint -d 'Resume after what was written (listed), or after what bh-load confirmed (loaded) [default: loaded if bh-load takes part]' -r -f -a "listed\t''
loaded\t''"
complete -c kinto-export -l concurrency -d 'Maximum number of concurrent requests, or connections; with more than 1 records come in no order' -r
complete -c kinto-export -l page-size -d 'Records per request' -r
complete -c kinto-export -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c kinto-export -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c kinto-export -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c kinto-export -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c kinto-export -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c kinto-export -l keep-meta -d 'Keep id, last_modified and schema next to the build'
complete -c kinto-export -l resume -d 'Resume the previous run, or start a new one if it has finished'
complete -c kinto-export -l no-marks -d 'Write only records, and no marks (receipts, see bh-pipes(7)), for jq, head, sort and wc; a loader after them confirms nothing'
complete -c kinto-export -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c kinto-export -s q -l quiet -d 'Log only errors and the summary'
complete -c kinto-export -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c kinto-export -s h -l help -d 'Print help'
complete -c kinto-export -s V -l version -d 'Print version'
