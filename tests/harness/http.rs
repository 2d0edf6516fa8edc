//! HTTP messages, for the servers and proxies of the tests.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

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
