complete -c sqs-receive -l endpoint-url -d 'URL of the server, if it is not that of the queue [env: AWS_ENDPOINT_URL_SQS; for queues of AWS also AWS_ENDPOINT_URL]' -r
complete -c sqs-receive -l region -d 'Region of the queue [default: that in its URL, else AWS_REGION, else that of the profile]' -r
complete -c sqs-receive -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c sqs-receive -l tries -d 'Maximum number of attempts per request' -r
complete -c sqs-receive -l event -d 'Read the messages of a Lambda event from this file instead of a queue; - reads standard input' -r -F
complete -c sqs-receive -l in-flight -d 'Maximum number of messages that are received, but neither deleted nor given up yet' -r
complete -c sqs-receive -l visibility -d 'Hide messages for this long at a time [default: as the queue does]' -r
complete -c sqs-receive -l max-hold -d 'Give up a message after holding it for this long; SQS allows 12 hours' -r
complete -c sqs-receive -l wait -d 'Wait this long for messages, at most 20s' -r
complete -c sqs-receive -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c sqs-receive -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c sqs-receive -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c sqs-receive -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c sqs-receive -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c sqs-receive -l raw -d 'Write the bodies of the messages as lines, whatever they contain'
complete -c sqs-receive -l drain -d 'End when the queue is empty, and no receiver holds a message'
complete -c sqs-receive -l no-marks -d 'Write only records, and no marks, for jq and wc: sqs-delete cannot delete their messages'
complete -c sqs-receive -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c sqs-receive -s q -l quiet -d 'Log only errors and the summary'
complete -c sqs-receive -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c sqs-receive -s h -l help -d 'Print help'
complete -c sqs-receive -s V -l version -d 'Print version'
