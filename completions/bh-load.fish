complete -c bh-load -l database -d 'sqlite:FILE or postgres://…; without it sqlite:buildhub.db' -r
complete -c bh-load -l elasticsearch -d 'Index new builds in this Elasticsearch or OpenSearch as well; a URL that holds a password is better given in the environment' -r
complete -c bh-load -l index -d 'The index, created where it is missing' -r
complete -c bh-load -l batch-size -d 'Rows in a transaction at most' -r
complete -c bh-load -l flush-interval -d 'Maximum time that a row waits for its batch to fill up' -r
complete -c bh-load -l resume-file -d 'Confirm what is stored beside this file, that of s3-list' -r -F
complete -c bh-load -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c bh-load -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-load -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c bh-load -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-load -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c bh-load -l retry-refused -d 'Retry documents that Elasticsearch rejected permanently'
complete -c bh-load -l requeue -d 'Send every row of the database to the index, and create it where it is missing'
complete -c bh-load -l mark-unvalidated -d 'Mark rows as not validated (metadata only; bh-load itself never validates)'
complete -c bh-load -l kinto-migration -d 'Note with each row that it was Kinto\'s, and count it as kinto_inserted'
complete -c bh-load -l runs -d 'Print the runs that the database has taken in, and load nothing'
complete -c bh-load -l dry-run -d 'Write nothing; print what would happen to each record'
complete -c bh-load -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c bh-load -l marks -d 'Write the marks of what is stored'
complete -c bh-load -s q -l quiet -d 'Log errors and the summary alone'
complete -c bh-load -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-load -s h -l help -d 'Print help'
complete -c bh-load -s V -l version -d 'Print version'
