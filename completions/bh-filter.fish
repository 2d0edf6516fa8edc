complete -c bh-filter -l suffix -d 'Keep only keys that end with this; repeatable' -r
complete -c bh-filter -l key-regex -d 'Of these, keep only keys that match this regular expression; repeatable' -r
complete -c bh-filter -l known -d 'Read the known objects from this file of records, or listing [default: from the database]' -r
complete -c bh-filter -l since -d 'Of the objects that are not known, keep those that were modified at this time or later: a date, or RFC 3339' -r
complete -c bh-filter -l until -d 'Of the objects that are not known, keep those that were modified before this time' -r
complete -c bh-filter -l schema -d 'Use this schema instead of the built-in one: YAML or JSON' -r -F
complete -c bh-filter -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-filter -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-filter -l into -d 'Use the staging NAME: a schema beside the main tables, or NAME.db beside the SQLite file' -r
complete -c bh-filter -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-filter -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-filter -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-filter -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-filter -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-filter -l no-known -d 'Keep known objects too'
complete -c bh-filter -l retry-rejects -d 'Keep objects that were rejected before too'
complete -c bh-filter -l assert-formats -d 'Check formats such as date-time too'
complete -c bh-filter -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-filter -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-filter -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-filter -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-filter -s h -l help -d 'Print help'
complete -c bh-filter -s V -l version -d 'Print version'
