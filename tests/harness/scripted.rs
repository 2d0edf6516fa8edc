//! A server whose every answer the test writes, byte by byte.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::Tool;
use super::http::message;

/// Answers each request on a connection of its own.
pub struct Scripted {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// `answer` takes the lines of a request's head, and returns the whole response.
    pub fn new(answer: impl Fn(&[String]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (shared, answer) = (Arc::clone(&asked), Arc::new(answer));
        // It runs until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let (asked, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client may connect and send nothing.
                    if let Some((head, _)) = message(&client, false) {
                        asked.lock().unwrap().push(head[0].clone());
                        // A client may close before it has read everything.
                        let _ = client.write_all(&answer(&head));
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// Returns the first lines of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns a program that uses this server.
    pub fn tool(&self, name: &str) -> Tool {
        Tool::new(name).args(["--endpoint-url", &self.url, "--no-sign-request"])
    }
}

/// Returns a response with a length; `headers` each end with a line break.
pub fn response(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Returns S3's response to a request that fails.
pub fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>by the test</Message></Error>");
    response(status, "Content-Type: application/xml\r\n", body)
}

/// Returns the last page of a listing with these elements.
pub fn page(elements: &str) -> Vec<u8> {
    let body = format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
         {elements}</ListBucketResult>"
    );
    response(200, "", body)
}
