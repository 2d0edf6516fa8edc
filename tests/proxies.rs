//! The proxies of Kinto, the archive and Elasticsearch, as the variables of curl name them. Those
//! of S3 are in s3_list/proxies.rs.

use crate::bh_derive;
use crate::harness::scripted::{Scripted, response};
use crate::harness::{Run, Tool};

/// The programs that ask these servers.
const PROGRAMS: [&str; 3] = ["kinto-export", "bh-derive", "bh-load"];

/// Runs `program` on the server at `url`, with these variables.
fn ask(program: &str, url: &str, variables: &[(&str, &str)]) -> Run {
    let line = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64"));
    let tool = Tool::new(program);
    let tool = match program {
        "kinto-export" => tool.args(["--tries=1", "--server", &format!("{url}/v1")]),
        "bh-derive" => tool
            .args(["--tries=1", "--archive-url", url])
            .input(format!("{line}\n")),
        _ => tool.args(["--database=sqlite:b.db", "--elasticsearch", url]),
    };
    let tool = variables
        .iter()
        .fold(tool, |tool, (name, value)| tool.env(name, *value));
    tool.run()
}

/// Refuses what it is asked, for good.
fn refusing() -> Scripted {
    Scripted::new(|_| response(403, "", "{}"))
}

#[test]
fn a_request_goes_through_its_proxy() {
    for program in PROGRAMS {
        for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
            let proxy = Scripted::new(|head| {
                let credentials = "proxy-authorization: Basic bWU6YSBi";
                let named = head
                    .iter()
                    .any(|line| line.eq_ignore_ascii_case(credentials));
                response(if named { 403 } else { 407 }, "", "{}")
            });
            let address = proxy.url.replace("http://", "http://me:a%20b@");
            let run = ask(program, "http://server.test", &[(name, &address)]);
            assert!(!run.stderr.contains("user name and password"), "{run}");
            assert!(!run.stderr.contains("a%20b"), "{run}");
            let asked = proxy.asked();
            let is_absolute = |line: &String| line.contains(" http://server.test/");
            assert!(asked.first().is_some_and(is_absolute), "{run}{asked:?}");
        }
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            let proxy = Scripted::new(|_| response(407, "", ""));
            let address = proxy.url.trim_start_matches("http://");
            let run = ask(program, "https://server.test", &[(name, address)]).exits(77);
            run.says(&proxy.url).says("user name and password");
            let asked = proxy.asked();
            assert!(
                asked
                    .iter()
                    .all(|line| line == "CONNECT server.test:443 HTTP/1.1")
            );
            assert!(!asked.is_empty(), "{program} {name}");
        }
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_named() {
    for program in PROGRAMS {
        let proxy = refusing();
        let without = Scripted::new(|_| response(407, "", ""));
        let run = ask(
            program,
            "http://server.test",
            &[("http_proxy", &without.url)],
        );
        run.exits(77)
            .says(&without.url)
            .says("user name and password");
        let run = ask(
            program,
            "http://server.test",
            &[("http_proxy", "socks5://127.0.0.1:1")],
        );
        run.exits(78).says("http_proxy");
        let nobody = [("http_proxy", "http://me:secret@127.0.0.1:1")];
        let run = ask(program, "http://server.test", &nobody);
        assert!(!run.stderr.contains("secret"), "{run}");
        run.says("through the proxy http://127.0.0.1:1");
        // A web server sets this one from a header of its client; blank is unset.
        let others = [("HTTP_PROXY", &*proxy.url), ("http_proxy", " ")];
        let server = refusing();
        ask(program, &server.url, &others);
        assert!(!server.asked().is_empty(), "{program}");
        for (name, hosts) in [
            ("no_proxy", "127.0.0.1"),
            ("NO_PROXY", "other.test, 127.0.0.0/8"),
            ("no_proxy", "*"),
        ] {
            let server = refusing();
            ask(
                program,
                &server.url,
                &[("http_proxy", &proxy.url), (name, hosts)],
            );
            assert!(!server.asked().is_empty(), "{program} {name}");
        }
        assert_eq!(proxy.asked(), [""; 0]);
    }
}
