complete -c bh-validate -l schema -d 'Use this schema instead of the built-in one: YAML or JSON' -r -F
complete -c bh-validate -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-validate -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-validate -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-validate -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-validate -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-validate -l bare -d 'Each line is a bare build, not a record with a `build`'
complete -c bh-validate -l skip-invalid -d 'Drop invalid records: count them, but do not treat them as rejects'
complete -c bh-validate -l assert-formats -d 'Check formats such as date-time too'
complete -c bh-validate -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c bh-validate -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-validate -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-validate -s h -l help -d 'Print help'
complete -c bh-validate -s V -l version -d 'Print version'
