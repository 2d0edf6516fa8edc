//! Elasticsearch behind a door that spoils its first answer to `_bulk`.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::Value;

use super::busy::{ask, write};
use super::http::message;

pub struct Spoiled {
    pub url: String,
    spoiled: Arc<AtomicBool>,
}

impl Spoiled {
    /// A way to the server of `url`; `spoil` turns an answer into what comes.
    pub fn new(url: &str, spoil: fn(Value) -> String) -> Self {
        let url = url::Url::parse(url).unwrap();
        let server = url.socket_addrs(|| None).unwrap()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spoiled = Arc::<AtomicBool>::default();
        let shared = Arc::clone(&spoiled);
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, spoiled) = (client.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || {
                    // A client may connect and say nothing.
                    let Some((head, body)) = message(&client, true) else {
                        return;
                    };
                    let (answer, mut text) = ask(server, &head, &body);
                    if head[0].contains("/_bulk") && !spoiled.swap(true, SeqCst) {
                        text = spoil(serde_json::from_slice(&text).unwrap()).into_bytes();
                    }
                    write(&client, &answer, &text);
                });
            }
        });
        Self { url, spoiled }
    }

    pub fn has_spoiled(&self) -> bool {
        self.spoiled.load(SeqCst)
    }
}
