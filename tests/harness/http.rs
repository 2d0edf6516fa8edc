//! HTTP messages, for the servers and proxies of the tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Starts a server that gives every request the same response, and returns its URL. `head` is
/// the status with the headers, a line each. It runs until the process ends.
pub fn answering(head: &str, body: &str) -> String {
    let head = head.replace('\n', "\r\n");
    let length = body.len();
    let end = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n");
    let whole = format!("{end}{body}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (end, whole) = (end.clone(), whole.clone());
            std::thread::spawn(move || {
                let mut client = client.unwrap();
                while let Some((request, _)) = message(&client, true) {
                    let response = if request[0].starts_with("HEAD ") {
                        &end
                    } else {
                        &whole
                    };
                    // The client may have left.
                    if client.write_all(response.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Reads the lines of a message's head, and its body; `None` if the connection
/// ends before. The response to a HEAD request has no body.
pub fn message(stream: &TcpStream, has_body: bool) -> Option<(Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
        head.push(line.trim_end().to_owned());
        line.clear();
    }
    head.first()?;
    let field = |name: &str| {
        head.iter().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let mut body = Vec::new();
    if field("transfer-encoding") == Some("chunked") {
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let size = u64::from_str_radix(line.trim(), 16).unwrap();
            reader.by_ref().take(size).read_to_end(&mut body).unwrap();
            reader.read_line(&mut line).unwrap();
            if size == 0 {
                break;
            }
        }
    } else if has_body {
        let length = field("content-length").map_or(0, |length| length.parse().unwrap());
        reader.take(length).read_to_end(&mut body).unwrap();
    }
    Some((head, body))
}
