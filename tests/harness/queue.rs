//! Queues on the servers that TEST_ELASTICMQ_URL and TEST_MOTO_URL name, and a stand-in for
//! faults.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::http::message;
use super::{Tool, left_out};

/// The two real servers; they differ where AWS leaves it open.
pub const SERVERS: [&str; 2] = ["TEST_ELASTICMQ_URL", "TEST_MOTO_URL"];

pub struct Queue {
    pub url: String,
    client: Client,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// Makes an empty queue on each server.
pub fn queues() -> impl Iterator<Item = Queue> {
    SERVERS
        .into_iter()
        .filter_map(|server| Queue::new(server, &[]))
}

impl Queue {
    /// Makes an empty queue; `None` if there is no server.
    pub fn new(server: &str, attributes: &[(QueueAttributeName, &str)]) -> Option<Self> {
        let Ok(endpoint) = std::env::var(server) else {
            left_out(&format!("queue server ({server})"));
            return None;
        };
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = Client::from_conf(config);
        let is_fifo = attributes
            .iter()
            .any(|(name, _)| *name == QueueAttributeName::FifoQueue);
        let suffix = if is_fifo { ".fifo" } else { "" };
        let attributes: HashMap<_, _> = attributes
            .iter()
            .map(|(name, value)| (name.clone(), (*value).to_owned()))
            .collect();
        let create = client
            .create_queue()
            .queue_name(format!("test-{}{suffix}", uuid::Uuid::new_v4()))
            .set_attributes(Some(attributes));
        let created = runtime().block_on(create.send()).unwrap();
        Some(Self {
            url: created.queue_url.unwrap(),
            client,
        })
    }

    /// Makes an empty FIFO queue; `None` if there is no server.
    pub fn fifo(server: &str) -> Option<Self> {
        let attributes = [
            (QueueAttributeName::FifoQueue, "true"),
            (QueueAttributeName::ContentBasedDeduplication, "true"),
        ];
        Self::new(server, &attributes)
    }

    /// Sends a message.
    pub fn send(&self, body: &(impl ToString + ?Sized)) {
        let send = self.client.send_message().queue_url(&self.url);
        runtime()
            .block_on(send.message_body(body.to_string()).send())
            .unwrap();
    }

    /// Sends a message of a group.
    pub fn send_to(&self, group: &str, body: &(impl ToString + ?Sized)) {
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(group);
        runtime()
            .block_on(send.message_body(body.to_string()).send())
            .unwrap();
    }

    /// Receives up to ten messages, and waits up to ten seconds for the first.
    pub fn receive(&self) -> Vec<Message> {
        let receive = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .wait_time_seconds(10)
            .visibility_timeout(600)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
        let received = runtime().block_on(receive.send()).unwrap();
        received.messages.unwrap_or_default()
    }

    /// Makes a received message visible again.
    pub fn show(&self, message: &Message) {
        let show = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(message.receipt_handle().unwrap())
            .visibility_timeout(0);
        runtime().block_on(show.send()).unwrap();
    }

    /// Returns how many messages wait, and how many are hidden.
    pub fn counts(&self) -> (u64, u64) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let get = self.client.get_queue_attributes().queue_url(&self.url);
        let get = get.set_attribute_names(Some(names.to_vec()));
        let attributes = runtime().block_on(get.send()).unwrap().attributes.unwrap();
        let [waiting, hidden] = names.map(|name| attributes[&name].parse().unwrap());
        (waiting, hidden)
    }

    /// Returns a program that uses this queue.
    pub fn tool(&self, name: &str) -> Tool {
        tool(name, &self.url)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let delete = self.client.delete_queue().queue_url(&self.url);
        drop(runtime().block_on(delete.send()));
    }
}

/// Returns a program that uses the queue at `url`.
pub fn tool(name: &str, url: &str) -> Tool {
    let tool = Tool::new(name).arg(url);
    tool.env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
}

/// Returns the mark of a received message, as sqs-receive writes it.
pub fn mark_of(queue: &str, message: &Message, received: &str) -> Value {
    let group = message.attributes.as_ref();
    let group = group.and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
    let mut mark = json!({
        "queue": queue,
        "run": "r",
        "message_id": message.message_id,
        "receipt_handle": message.receipt_handle,
        "received": received,
    });
    if let Some(group) = group {
        mark["group"] = json!(group);
    }
    json!({"mark": {"message": mark, "counts": []}})
}

/// Returns the event of S3 about these keys, which are URL-encoded.
pub fn event(keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-west-2",
            "eventTime": "2026-01-02T03:04:05.678Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": "b", "arn": "arn:aws:s3:::b"},
                "object": {"key": key, "size": 9, "eTag": "e1", "sequencer": "0055AED6DCD90281E5"},
            },
        })
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
}

/// A queue whose answers the test decides: by the name of the action, the number of such
/// requests before, and the body.
pub struct StandIn {
    pub url: String,
}

impl StandIn {
    pub fn new(
        answer: impl Fn(&str, usize, &Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/1/q", listener.local_addr().unwrap());
        let counts: [AtomicUsize; 4] = Default::default();
        let shared = Arc::new((answer, counts));
        // It runs until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    while let Some((head, body)) = message(&client, true) {
                        let action = head.iter().find_map(|line| {
                            let (name, value) = line.split_once(": ")?;
                            let action = value.trim().strip_prefix("AmazonSQS.")?;
                            name.eq_ignore_ascii_case("x-amz-target").then_some(action)
                        });
                        let action = action.unwrap_or_default();
                        let kinds = ["ReceiveMessage", "ChangeMessageVisibilityBatch"];
                        let kind = kinds.iter().position(|kind| *kind == action).unwrap_or(2);
                        let before = shared.1[kind].fetch_add(1, SeqCst);
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        let (status, answer) = (shared.0)(action, before, &body);
                        let answer = answer.to_string();
                        let length = answer.len();
                        let response = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n\
                             Content-Length: {length}\r\n\r\n{answer}"
                        );
                        // The client may have left.
                        if client.write_all(response.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url }
    }

    /// Returns a program that uses this queue.
    pub fn tool(&self, name: &str) -> Tool {
        tool(name, &self.url)
    }
}
