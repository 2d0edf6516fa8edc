//! Buckets on the S3 server that TEST_S3_ENDPOINT names.

use std::sync::OnceLock;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use tokio::runtime::Runtime;

use super::{Tool, left_out};

pub struct Bucket {
    pub name: String,
    pub endpoint: String,
    access: String,
    secret: String,
    client: Client,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

impl Bucket {
    /// Makes an empty bucket; `None` if there is no server.
    pub fn new() -> Option<Self> {
        let Ok(endpoint) = std::env::var("TEST_S3_ENDPOINT") else {
            left_out("S3 server (TEST_S3_ENDPOINT)");
            return None;
        };
        let access = std::env::var("TEST_S3_ACCESS_KEY").unwrap();
        let secret = std::env::var("TEST_S3_SECRET_KEY").unwrap();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(&access, &secret, None, None, "test"))
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let bucket = Self {
            name: format!("test-{}", uuid::Uuid::new_v4()),
            endpoint,
            access,
            secret,
            client: Client::from_conf(config),
        };
        let create = bucket.client.create_bucket().bucket(&bucket.name);
        runtime().block_on(create.send()).unwrap();
        Some(bucket)
    }

    /// Stores an object and returns its ETag, without quotes.
    pub fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        self.put_all([(key.to_owned(), body.into())]).remove(0)
    }

    /// Stores objects and returns their ETags in order.
    pub fn put_all(&self, objects: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<String> {
        let all: Vec<_> = objects.into_iter().collect();
        runtime().block_on(async {
            let mut etags = Vec::new();
            for part in all.chunks(32) {
                let puts: Vec<_> = part
                    .iter()
                    .map(|(key, body)| {
                        let put = self.client.put_object().bucket(&self.name).key(key);
                        tokio::spawn(put.body(body.clone().into()).send())
                    })
                    .collect();
                for put in puts {
                    let answer = put.await.unwrap().unwrap();
                    etags.push(answer.e_tag().unwrap().trim_matches('"').to_owned());
                }
            }
            etags
        })
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        let get = self.client.get_object().bucket(&self.name).key(key);
        let body = async { get.send().await.unwrap().body.collect().await };
        runtime().block_on(body).unwrap().to_vec()
    }

    pub fn delete(&self, key: &str) {
        let delete = self.client.delete_object().bucket(&self.name).key(key);
        runtime().block_on(delete.send()).unwrap();
    }

    pub fn url(&self) -> String {
        format!("s3://{}", self.name)
    }

    /// Returns a program with access to the server.
    pub fn tool(&self, name: &str) -> Tool {
        Tool::new(name)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &self.access)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
    }
}

impl Drop for Bucket {
    /// MinIO deletes a bucket with its objects; other servers keep it.
    fn drop(&mut self) {
        let delete = self.client.delete_bucket().bucket(&self.name);
        let delete = delete.customize().mutate_request(|request| {
            request.headers_mut().insert("x-minio-force-delete", "true");
        });
        drop(runtime().block_on(delete.send()));
    }
}
