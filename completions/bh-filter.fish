complete -c bh-filter -l suffix -d 'Keep keys that end with this; repeatable' -r
complete -c bh-filter -l key-regex -d 'Of these, keep keys that match; repeatable' -r
complete -c bh-filter -l known -d 'What is known: a file of records or a listing; else the database' -r
complete -c bh-filter -l database -d 'sqlite:FILE or postgres://…; without it sqlite:buildhub.db' -r
complete -c bh-filter -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c bh-filter -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-filter -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c bh-filter -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-filter -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c bh-filter -l no-known -d 'Keep what is known too'
complete -c bh-filter -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c bh-filter -s q -l quiet -d 'Log errors and the summary alone'
complete -c bh-filter -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-filter -s h -l help -d 'Print help'
complete -c bh-filter -s V -l version -d 'Print version'
