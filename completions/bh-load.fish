complete -c bh-load -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-load -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-load -l into -d 'Use the staging NAME: a schema beside the main tables, or NAME.db beside the SQLite file' -r
complete -c bh-load -l elasticsearch -d 'The Elasticsearch or OpenSearch whose index follows the database; put a URL with a password in the environment' -r
complete -c bh-load -l index -d 'Name of the index; it is created if it is missing' -r
complete -c bh-load -l batch-size -d 'Maximum number of rows per transaction' -r
complete -c bh-load -l flush-interval -d 'Maximum time that a row waits for its batch to fill up' -r
complete -c bh-load -l resume-file -d 'The --resume-file of the source: record next to it what has been stored' -r -F
complete -c bh-load -l record-rejects -d 'At the end of a run, record in the database what these --rejects files of its programs hold, so that bh-filter leaves it out' -r -F
complete -c bh-load -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-load -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-load -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-load -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-load -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-load -l retry-refused -d 'Retry documents that Elasticsearch rejected permanently'
complete -c bh-load -l requeue
complete -c bh-load -l mark-unvalidated -d 'Mark rows as not validated (metadata only; bh-load itself never validates)'
complete -c bh-load -l beta-twin -d 'Store each release of Firefox a second time, in the channel beta'
complete -c bh-load -l kinto-migration -d 'Mark rows as migrated from Kinto, and count them as kinto_inserted'
complete -c bh-load -l runs -d 'Print the runs stored in the database, and load nothing'
complete -c bh-load -l dry-run -d 'Print what would happen to each record, and write nothing'
complete -c bh-load -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-load -l marks -d 'Write the marks of what is stored'
complete -c bh-load -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-load -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-load -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-load -s h -l help -d 'Print help'
complete -c bh-load -s V -l version -d 'Print version'
