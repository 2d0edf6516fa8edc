complete -c sqs-delete -l endpoint-url -d 'URL of the server, if it is not that of the queue [env: AWS_ENDPOINT_URL_SQS; for queues of AWS also AWS_ENDPOINT_URL]' -r
complete -c sqs-delete -l region -d 'Region of the queue [default: that in its URL, else AWS_REGION, else that of the profile]' -r
complete -c sqs-delete -l profile -d 'Profile in the AWS configuration [env: AWS_PROFILE]' -r
complete -c sqs-delete -l tries -d 'Maximum number of attempts per request' -r
complete -c sqs-delete -l rejects -d 'Append rejected records to this file, with the reason; it can be piped in again' -r -F
complete -c sqs-delete -l log-format -d 'Write messages as text or as JSON lines' -r -f -a "text\t''
json\t''"
complete -c sqs-delete -l summary -d 'At the end, write the summary to this file as JSON' -r -F
complete -c sqs-delete -l progress -d 'Show progress: rows at the bottom of a terminal; elsewhere, after a minute, a line every 30 seconds; or never' -r -f -a "auto\t''
never\t''"
complete -c sqs-delete -l progress-interval -d 'Where no rows are drawn, print a line of progress this often' -r
complete -c sqs-delete -l allow-drops -d 'Accept that grep, jq or another filter before this program drops records; they are counted as outside'
complete -c sqs-delete -l wait-for-servers -d 'Wait for a server that is unavailable, however long, instead of exiting with 69'
complete -c sqs-delete -s q -l quiet -d 'Log only errors and the summary'
complete -c sqs-delete -s v -l verbose -d 'Log every retry, and every object that is rejected or gone'
complete -c sqs-delete -s h -l help -d 'Print help'
complete -c sqs-delete -s V -l version -d 'Print version'
