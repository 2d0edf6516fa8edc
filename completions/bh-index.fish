complete -c bh-index -l database -d 'sqlite:FILE or postgres://… [default: sqlite:buildhub.db]' -r
complete -c bh-index -l tries -d 'Maximum number of attempts per request to a server [default: 9, and 16 to Elasticsearch]' -r
complete -c bh-index -l elasticsearch -d 'The Elasticsearch or OpenSearch whose index follows the database; put a URL with a password in the environment' -r
complete -c bh-index -l index -d 'Name of the index; it is created if it is missing' -r
complete -c bh-index -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c bh-index -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-index -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c bh-index -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-index -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c bh-index -l check -d 'Print what differs, and change nothing'
complete -c bh-index -l new-index -d 'Fill a new index beside the one that is searched, and give it the name'
complete -c bh-index -l replace -d 'With --new-index: delete the index that has the name, if it is not an alias'
complete -c bh-index -l delete-orphans -d 'Delete documents that have no row'
complete -c bh-index -l retry-refused -d 'Retry documents that Elasticsearch rejected permanently'
complete -c bh-index -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c bh-index -s q -l quiet -d 'Log only errors and the summary'
complete -c bh-index -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-index -s h -l help -d 'Print help'
complete -c bh-index -s V -l version -d 'Print version'
