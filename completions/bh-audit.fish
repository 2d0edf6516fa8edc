complete -c bh-audit -l suffix -d 'Keep only keys that end with this; repeatable' -r
complete -c bh-audit -l key-regex -d 'Of these, keep only keys that match this regular expression; repeatable' -r
complete -c bh-audit -l kind -d 'Print only these differences: missing (listed, but not in the database), changed (the database has another ETag), extra (in the database, but not in the listed part of the bucket); all are counted' -r -f -a "missing\t''
changed\t''
extra\t''"
complete -c bh-audit -l settle -d 'Do not judge objects younger than this: they may be on their way into the database' -r
complete -c bh-audit -l schema -d 'Use this schema instead of the built-in one: YAML or JSON' -r -F
complete -c bh-audit -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-audit -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-audit -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-audit -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-audit -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-audit -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-audit -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-audit -l assert-formats -d 'Check formats such as date-time too'
complete -c bh-audit -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-audit -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-audit -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-audit -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-audit -s h -l help -d 'Print help'
complete -c bh-audit -s V -l version -d 'Print version'
