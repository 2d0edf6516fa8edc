//! An HTTP server that imitates the archive of builds.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::hold::Hold;
use super::{Tool, wait_for};

/// An answer to a path. Answers to the same path are given in order, the last
/// one repeatedly.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    #[serde(default)]
    pub path: String,
    pub status: Option<u16>,
    pub content_type: Option<String>,
    pub json: Option<Box<RawValue>>,
    pub body: Option<String>,
    /// What happens instead of an answer: `connection` or `timeout`.
    pub exc: Option<String>,
}

impl Answer {
    pub fn json(path: &str, json: &serde_json::Value) -> Self {
        Self {
            path: path.to_owned(),
            body: Some(json.to_string()),
            ..Self::default()
        }
    }
}

/// Path and status.
pub type Asked = (String, u16);

pub struct Archive {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answers: HashMap<String, Vec<Answer>>,
    asked: Mutex<Vec<Asked>>,
    /// The path whose answer is delayed.
    held: Option<String>,
    hold: Hold,
}

impl Archive {
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::holding(answers, None)
    }

    /// A server that delays its answer to `held`.
    pub fn holding(answers: impl IntoIterator<Item = Answer>, held: Option<&str>) -> Self {
        let mut by_path: HashMap<String, Vec<Answer>> = HashMap::new();
        for answer in answers {
            by_path.entry(answer.path.clone()).or_default().push(answer);
        }
        let shared = Arc::new(Shared {
            answers: by_path,
            asked: Mutex::default(),
            held: held.map(str::to_owned),
            hold: Hold::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = Arc::clone(&shared);
        // It runs until the process ends: programs keep their connections open.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || drop(serve(&shared, stream.unwrap())));
            }
        });
        Self { url, shared }
    }

    pub fn tool(&self) -> Tool {
        Tool::new("bh-derive").args(["--archive-url", &self.url])
    }

    /// Returns the requests since the last call, in order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    /// Returns the same as a set.
    pub fn asked_once(&self) -> BTreeSet<Asked> {
        self.asked().into_iter().collect()
    }

    /// Blocks until the delayed path is requested.
    pub fn wait_until_held(&self) {
        wait_for("the request that is held", || self.shared.hold.is_held());
    }

    pub fn release(&self) {
        self.shared.hold.release(true);
    }
}

impl Shared {
    /// Returns the answer to a path, and records the request.
    fn answer(&self, path: &str) -> Answer {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.iter().filter(|(own, _)| own == path).count();
        let answers = self.answers.get(path);
        let answer = answers.map_or_else(
            || Answer {
                status: Some(404),
                content_type: Some("text/html".to_owned()),
                ..Answer::default()
            },
            |answers| answers[before.min(answers.len() - 1)].clone(),
        );
        asked.push((path.to_owned(), answer.status.unwrap_or(200)));
        answer
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    loop {
        let mut request = String::new();
        if input.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while input.read_line(&mut header)? > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap();
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .unwrap();
        let answer = shared.answer(&path);
        if shared.held.as_deref() == Some(&*path) {
            shared.hold.stand();
        }
        match answer.exc.as_deref() {
            Some("connection") => return Ok(()),
            // The client times out.
            Some(_) => return input.read_to_end(&mut Vec::new()).map(drop),
            None => {}
        }
        let body = match (&answer.json, &answer.body) {
            (Some(json), _) => json.get(),
            (None, body) => body.as_deref().unwrap_or_default(),
        };
        let (status, length) = (answer.status.unwrap_or(200), body.len());
        let kind = answer.content_type.as_deref().unwrap_or("application/json");
        write!(
            output,
            "HTTP/1.1 {status} said\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
    }
}
