//! Queues of SQS: receiving messages, keeping hidden, deleting and sending several at once
//! (`batch`), what failures mean (`failure`), and how sqs-delete reports to sqs-receive (`report`).

mod batch;
mod failure;
mod queue_url;
pub mod report;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};

pub use self::batch::{Action, EntryOutcome};
use self::failure::{Operation, classify, is_over_limit};
pub use self::queue_url::QueueUrl;
use self::queue_url::queue_url;
use crate::address::without_password;
use crate::context::Context;
use crate::environment::trimmed;
use crate::error::{Error, Result};
use crate::remote::aws::{AwsConnection, AwsSettings, Service};
use crate::retry::{Policy, Retry};

/// How a queue is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct SqsArgs {
    /// URL of the queue; its host is asked, unless an endpoint is set
    #[arg(value_name = "QUEUE_URL", value_parser = queue_url)]
    pub queue: Option<QueueUrl>,

    /// URL of the server, if it is not that of the queue [env: AWS_ENDPOINT_URL_SQS; for queues of AWS also AWS_ENDPOINT_URL]
    #[arg(long, help_heading = "Queue", value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Region of the queue [default: that in its URL, else AWS_REGION, else that of the profile]
    #[arg(long, help_heading = "Queue")]
    pub region: Option<String>,

    /// Profile in the AWS configuration [env: AWS_PROFILE]
    #[arg(long, help_heading = "Queue", value_name = "NAME")]
    pub profile: Option<String>,

    /// Maximum number of attempts per request
    #[arg(long, help_heading = "Queue", value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,
}

/// The most messages of a request.
pub const BATCH: usize = 10;

/// The most bytes of a message, and of a request that sends some.
pub const LARGEST: usize = 1_048_576;

/// How much longer than it was asked to wait a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time between two polls of a queue with too many messages in flight.
const ROOM: Duration = Duration::from_secs(1);

/// A connection to a queue.
pub struct Queue {
    client: Client,
    url: String,
    retry: Retry,
    /// For messages.
    place: String,
    /// How long a poll waits for messages.
    wait: Duration,
    /// It was said that too many messages are in flight.
    is_full: AtomicBool,
}

/// A message as it was received.
pub struct Message {
    pub id: String,
    pub receipt_handle: String,
    pub body: String,
    /// Of a FIFO queue.
    pub group: Option<String>,
}

/// What a queue says of itself; the counts are approximate.
#[derive(Debug, Clone, Copy)]
pub struct QueueState {
    /// How long a received message stays hidden.
    pub visibility: Duration,
    /// Messages that may be received, now or after a delay.
    pub waiting: u64,
    /// Messages that somebody has received.
    pub hidden: u64,
}

impl Queue {
    /// Reads the configuration; nothing is sent yet. A poll waits up to `wait`.
    ///
    /// # Errors
    /// The settings cannot be used (78 or 2).
    pub async fn open(args: &SqsArgs, wait: Duration, context: &Context) -> Result<Self> {
        let queue = args.queue.as_ref();
        let queue = queue.ok_or_else(|| Error::usage("the URL of the queue is missing; add it"))?;
        let is_foreign = queue.region.is_none();
        let named = trimmed(Service::Sqs.endpoint_variable());
        let own = (is_foreign && named.is_none()).then_some(&queue.origin);
        let settings = AwsSettings {
            service: Service::Sqs,
            endpoint_url: args.endpoint_url.as_ref().or(own).map(String::as_str),
            region: args.region.as_deref().or(queue.region.as_deref()),
            profile: args.profile.as_deref(),
            // SQS has no anonymous requests.
            anonymous: false,
            timeout: wait + PATIENCE,
        };
        let aws = AwsConnection::load(&settings, context).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(wait + PATIENCE)
            .operation_attempt_timeout(wait + PATIENCE)
            .build();
        let mut config = aws_sdk_sqs::config::Builder::from(&aws.shared)
            .region(aws.region)
            .timeout_config(timeouts);
        config.set_endpoint_url(aws.endpoint.clone());
        config.set_credentials_provider(aws.credentials);
        let mut place = format!("queue {}", without_password(&queue.text));
        if let Some(endpoint) = aws
            .endpoint
            .filter(|url| !queue.text.starts_with(url.as_str()))
        {
            place = format!("{place} at {}", without_password(&endpoint));
        }
        place += aws.proxy.as_deref().unwrap_or_default();
        Ok(Self {
            client: Client::from_conf(config.build()),
            url: queue.text.clone(),
            retry: Retry::new(Policy::requests(args.tries), context),
            place,
            wait,
            is_full: AtomicBool::new(false),
        })
    }

    /// Returns the queue for messages: with the address of a server that is not its own.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns what the queue says of itself; `None` if it does not before the input is over.
    ///
    /// # Errors
    /// There is no such queue (78), or it cannot be asked.
    pub async fn state(&self) -> Result<Option<QueueState>> {
        const NAMES: [QueueAttributeName; 4] = [
            QueueAttributeName::VisibilityTimeout,
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self.ask_for_input("read the attributes of", || {
            let request = self.client.get_queue_attributes().queue_url(&self.url);
            request.set_attribute_names(Some(NAMES.to_vec())).send()
        });
        let Some(answer) = answer.await? else {
            return Ok(None);
        };
        let number = |name: &QueueAttributeName| -> Option<u64> {
            answer.attributes()?.get(name)?.parse().ok()
        };
        let [visibility, visible, delayed, hidden] = NAMES.map(|name| number(&name));
        Ok(Some(QueueState {
            visibility: Duration::from_secs(visibility.unwrap_or(30)),
            waiting: visible.unwrap_or(0) + delayed.unwrap_or(0),
            hidden: hidden.unwrap_or(0),
        }))
    }

    /// Receives up to `most` messages; waits for the first one if `waits`. `visibility` replaces
    /// that of the queue. There are none if the queue has too many in flight, or cannot be asked
    /// before the input is over.
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn receive(
        &self,
        most: usize,
        waits: bool,
        visibility: Option<Duration>,
    ) -> Result<Vec<Message>> {
        let wait = if waits {
            self.wait
        } else {
            self.wait.min(Duration::from_secs(1))
        };
        let answer = self.ask_for_input("receive from", || {
            let request = self.client.receive_message().queue_url(&self.url);
            let request = request
                .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
                .max_number_of_messages(i32::try_from(most.clamp(1, BATCH)).unwrap_or(1))
                .wait_time_seconds(seconds(wait))
                .set_visibility_timeout(visibility.map(seconds));
            async {
                match Box::pin(request.send()).await {
                    Err(error) if is_over_limit(&error) => Ok(None),
                    answer => answer.map(Some),
                }
            }
        });
        let messages = match answer.await? {
            Some(Some(answer)) => answer.messages.unwrap_or_default(),
            Some(None) => {
                self.wait_for_room().await?;
                return Ok(Vec::new());
            }
            None => return Ok(Vec::new()),
        };
        let message = |mut message: aws_sdk_sqs::types::Message| {
            let mut attributes = message.attributes.take().unwrap_or_default();
            Some(Message {
                id: message.message_id.unwrap_or_default(),
                receipt_handle: message.receipt_handle?,
                body: message.body.unwrap_or_default(),
                group: attributes.remove(&MessageSystemAttributeName::MessageGroupId),
            })
        };
        Ok(messages.into_iter().filter_map(message).collect())
    }

    /// Waits a little for messages in flight to be deleted, by whoever has received them.
    async fn wait_for_room(&self) -> Result<()> {
        let context = &self.retry.context;
        context.counters.note("waits for messages in flight", 1);
        if !self.is_full.swap(true, Relaxed) {
            context.log.info(format!(
                "{}: too many messages are in flight; waiting until some are deleted",
                self.place
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(ROOM) => Ok(()),
            () = context.shutdown.until_input_over() => Ok(()),
            stop = context.shutdown.cancelled() => Err(stop),
        }
    }

    /// Sends `request`, which asks for input, until it is answered, or fails when no more input
    /// is wanted.
    async fn ask_for_input<T, E, F>(
        &self,
        verb: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<Option<T>>
    where
        E: Operation,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let what = format!("cannot {verb} {}", self.place);
        let answer = self.retry.try_run_for_input(&what, || {
            let request = request();
            async { request.await.map_err(|error| classify(&error)) }
        });
        answer.await.map_err(|failure| failure.into_error(&what))
    }

    /// Sends `request` until it is answered. `verb` says in messages what it does with the queue.
    async fn ask<T, E, F>(&self, verb: &str, mut request: impl FnMut() -> F) -> Result<T>
    where
        E: Operation,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let what = format!("cannot {verb} {}", self.place);
        let answer = self.retry.try_run(&what, || {
            let request = request();
            async { request.await.map_err(|error| classify(&error)) }
        });
        answer.await.map_err(|failure| failure.into_error(&what))
    }
}

/// Returns whole seconds, as the queue counts.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
