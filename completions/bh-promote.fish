complete -c bh-promote -l note -d 'Record this with the promotion' -r
complete -c bh-promote -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-promote -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-promote -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-promote -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-promote -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-promote -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-promote -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-promote -l dry-run -d 'Count what would change, and write nothing'
complete -c bh-promote -l unaccounted -d 'Promote it although its ledger does not say that it is complete'
complete -c bh-promote -l drop -d 'Remove the staging after its promotion'
complete -c bh-promote -l unpromoted -d 'Remove it although it was not promoted: what only it holds is lost'
complete -c bh-promote -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-promote -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-promote -s h -l help -d 'Print help'
complete -c bh-promote -s V -l version -d 'Print version'
