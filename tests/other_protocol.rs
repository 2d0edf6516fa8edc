//! Servers that speak another protocol than their URL says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use crate::harness::{Run, Tool, folder};

/// Starts a server that sends `answer` to whatever comes, and closes the connection; returns
/// its port. It ends with the process.
fn server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A client that has gone away reads no answer; what it still sends is read, because
            // the connection would be reset otherwise.
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(answer));
            drop(stream.shutdown(Shutdown::Write));
            drop(stream.read_to_end(&mut Vec::new()));
        }
    });
    port
}

/// Runs every client of HTTP against a server at `url`.
fn clients(url: &str) -> Vec<Run> {
    let folder = folder();
    let list = Tool::new("s3-list").args(["--no-sign-request", "--endpoint-url", url, "s3://b"]);
    let kinto = format!("{url}/v1");
    let export = Tool::new("kinto-export").args(["--server", &kinto]);
    let database = format!("sqlite:{}", folder.path().join("a.db").display());
    let load = Tool::new("bh-load").args(["--database", &database, "--elasticsearch", url]);
    let run = |tool: Tool| tool.args(["--tries", "2"]).input("").run();
    vec![run(list), run(export), run(load)]
}

#[test]
fn a_server_of_plain_http_at_a_url_of_https_is_named() {
    let port = server(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    for run in clients(&format!("https://127.0.0.1:{port}")) {
        let run = run.exits(77);
        run.says("the server does not speak TLS; use http:// in");
    }
    // Whether it would answer another time nobody knows.
    let port = server(b"");
    for run in clients(&format!("https://127.0.0.1:{port}")) {
        let run = run.exits(69).says("instead of speaking TLS");
        run.says("use http:// in its URL");
    }
}

#[test]
fn a_server_of_tls_at_a_url_of_http_is_named() {
    // The alert «unexpected message», as TLS sends it.
    let port = server(b"\x15\x03\x01\x00\x02\x02\x0a");
    for run in clients(&format!("http://127.0.0.1:{port}")) {
        run.exits(69)
            .says("the answer is not HTTP; if the server speaks TLS, use https://");
    }
}

#[test]
fn a_server_that_is_not_postgresql_is_named_at_once() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let url = format!("postgres://u@127.0.0.1:{}/b", server(answer));
        let tool = Tool::new("bh-filter").args(["--database", &url]);
        let run = tool.input("").run().exits(78).says("is not PostgreSQL");
        assert_eq!(run.count("/notes/reconnections"), 0, "{run}");
    }
}
