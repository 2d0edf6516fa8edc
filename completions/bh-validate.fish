complete -c bh-validate -l schema -d 'Another schema than the built-in one: YAML or JSON' -r -F
complete -c bh-validate -l rejects -d 'Append refused lines here, with what is wrong; can be piped in again' -r -F
complete -c bh-validate -l log-format -d 'Messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c bh-validate -l summary -d 'Write the summary as JSON to this file at the end' -r -F
complete -c bh-validate -l progress -d 'Show progress: a block of rows on a terminal, elsewhere a line every 30 seconds after the first minute; or never' -r -f -a "auto\t''
never\t''"
complete -c bh-validate -l progress-interval -d 'Where no block is drawn, show a line of progress this often' -r
complete -c bh-validate -l assert-formats -d 'Assert formats such as date-time too'
complete -c bh-validate -l bare -d 'Each line is a build itself, not a record that holds one'
complete -c bh-validate -l skip-invalid -d 'Leave out the invalid ones: they are counted and are no rejects'
complete -c bh-validate -l allow-drops -d 'Take it as meant that records are missing: grep, jq or another filter stands before; they are counted as outside'
complete -c bh-validate -s q -l quiet -d 'Log errors and the summary alone'
complete -c bh-validate -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c bh-validate -s h -l help -d 'Print help'
complete -c bh-validate -s V -l version -d 'Print version'
