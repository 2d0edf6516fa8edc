//! A proxy to Elasticsearch that refuses every second document twice.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::message;

pub struct Busy {
    pub url: String,
    refused: Arc<Mutex<HashMap<String, usize>>>,
}

/// How often a document is refused before it passes.
const TIMES: usize = 2;

impl Busy {
    /// Starts a proxy to the server at `url`.
    pub fn new(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let server = url.socket_addrs(|| None).unwrap()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let refused = Arc::<Mutex<HashMap<_, _>>>::default();
        let shared = Arc::clone(&refused);
        // It runs until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared) = (client.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || serve(&client, server, &shared));
            }
        });
        Self { url, refused }
    }

    /// Returns how many documents were refused so far.
    pub fn refused(&self) -> usize {
        self.refused.lock().unwrap().values().sum()
    }
}

/// Serves one request and closes the connection.
fn serve(client: &TcpStream, server: SocketAddr, refused: &Mutex<HashMap<String, usize>>) {
    // A client may connect and send nothing.
    let Some((head, body)) = message(client, true) else {
        return;
    };
    if !head[0].contains("/_bulk") {
        let (head, body) = ask(server, &head, &body);
        return write(client, &head, &body);
    }
    let text = String::from_utf8(body).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut passed = String::new();
    let mut passes: Vec<(bool, String)> = Vec::new();
    for pair in lines.chunks(2) {
        let action: Value = serde_json::from_str(pair[0]).unwrap();
        let id = action["index"]["_id"].as_str().unwrap().to_owned();
        let mut refused = refused.lock().unwrap();
        let times = refused.entry(id.clone()).or_default();
        let pass = id.parse::<u64>().unwrap() % 2 == 0 || *times == TIMES;
        *times += usize::from(!pass);
        if pass {
            passed += &format!("{}\n{}\n", pair[0], pair[1]);
        }
        passes.push((pass, id));
    }
    let mut items = Vec::new();
    if !passed.is_empty() {
        let (_, body) = ask(server, &head, passed.as_bytes());
        let answer: Value = serde_json::from_slice(&body).unwrap();
        items.clone_from(answer["items"].as_array().unwrap());
    }
    let mut items = items.into_iter();
    let busy = |id: &str| {
        json!({"index": {"_id": id, "status": 429, "error":
            {"type": "es_rejected_execution_exception", "reason": "the queue is full"}}})
    };
    let all: Vec<_> = passes
        .iter()
        .map(|(pass, id)| {
            if *pass {
                items.next().unwrap()
            } else {
                busy(id)
            }
        })
        .collect();
    let errors = passes.iter().any(|(pass, _)| !pass);
    let body = json!({"errors": errors, "items": all}).to_string();
    let head = ["HTTP/1.1 200 OK", "content-type: application/json"].map(str::to_owned);
    write(client, &head, body.as_bytes());
}

/// Returns the head without the headers that are rewritten: length and
/// encoding.
fn lasting(head: &[String]) -> impl Iterator<Item = &String> {
    let own = [
        "content-length",
        "accept-encoding",
        "transfer-encoding",
        "connection",
    ];
    head.iter().filter(move |line| {
        let name = line.split(':').next().unwrap_or_default();
        !own.iter().any(|own| name.eq_ignore_ascii_case(own))
    })
}

pub fn write(mut stream: &TcpStream, head: &[String], body: &[u8]) {
    let mut text = String::new();
    for line in lasting(head) {
        text += &format!("{line}\r\n");
    }
    text += &format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The client may have left.
    let _ = stream.write_all(&[text.as_bytes(), body].concat());
}

pub fn ask(server: SocketAddr, head: &[String], body: &[u8]) -> (Vec<String>, Vec<u8>) {
    let stream = TcpStream::connect(server).unwrap();
    write(&stream, head, body);
    message(&stream, !head[0].starts_with("HEAD")).unwrap()
}
