complete -c bh-export -l table -d 'What to export: rows (the builds, as records that bh-load takes), objects (those that were loaded, with the hash of their build), rejects (as in a file of rejects)' -r -f -a "rows\t''
objects\t''
rejects\t''"
complete -c bh-export -l since -d 'Only what an earlier export has not seen: its output, or a file with its last line, or the snapshot in that line' -r
complete -c bh-export -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-export -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-export -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-export -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-export -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-export -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-export -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-export -l no-marks -d 'Write only records, for jq, head, sort and wc; --since needs the end mark'
complete -c bh-export -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-export -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-export -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-export -s h -l help -d 'Print help'
complete -c bh-export -s V -l version -d 'Print version'
