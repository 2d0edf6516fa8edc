//! Proxies, as the variables of curl name them.

use crate::harness::scripted::{Scripted, page, response};
use crate::harness::{Run, Tool};

/// Lists a bucket of this endpoint, with these variables.
fn list(endpoint: &str, variables: &[(&str, &str)]) -> Run {
    let tool = Tool::new("s3-list").args(["--no-sign-request", "--tries", "2", "s3://bench"]);
    let tool = tool.args(["--endpoint-url", endpoint]);
    let tool = variables
        .iter()
        .fold(tool, |tool, (name, value)| tool.env(name, *value));
    tool.run()
}

#[test]
fn a_request_goes_through_its_proxy() {
    for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        let proxy = Scripted::new(|head| {
            let named = head
                .iter()
                .any(|line| line.eq_ignore_ascii_case("proxy-authorization: Basic bWU6YSBi"));
            if named {
                page("")
            } else {
                response(407, "", "")
            }
        });
        let address = proxy.url.replace("http://", "http://me:a%20b@");
        list("http://s3.test", &[(name, &address)]).exits(0);
        assert!(
            proxy.asked()[0].starts_with("GET http://s3.test/bench/?"),
            "{:?}",
            proxy.asked()
        );
    }
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        let proxy = Scripted::new(|_| response(502, "", ""));
        let address = proxy.url.trim_start_matches("http://");
        let run = list("https://s3.test", &[(name, address)]).exits(69);
        run.says(&format!("through the proxy {}", proxy.url));
        let mut asked = proxy.asked().into_iter();
        assert!(asked.all(|line| line == "CONNECT s3.test:443 HTTP/1.1"));
    }
}

#[test]
fn a_proxy_that_wants_credentials_is_not_asked_again() {
    for endpoint in ["http://s3.test", "https://s3.test"] {
        let proxy = Scripted::new(|_| response(407, "", ""));
        let run = list(endpoint, &[("all_proxy", &proxy.url)]).exits(77);
        assert_eq!(run.count("/notes/retries"), 0, "{run}");
        run.says(&proxy.url).says("user name and password");
    }
}

#[test]
fn a_request_that_no_proxy_names_goes_to_its_server() {
    let proxy = Scripted::new(|_| page(""));
    for (name, hosts) in [
        ("no_proxy", "127.0.0.1"),
        ("NO_PROXY", "other.test, 127.0.0.0/8"),
        ("no_proxy", "other.test 127.0.0.1"),
        ("no_proxy", "*"),
    ] {
        let server = Scripted::new(|_| page(""));
        list(&server.url, &[("http_proxy", &proxy.url), (name, hosts)]).exits(0);
        assert!(!server.asked().is_empty());
    }
    // A web server sets this one from a header of its client; blank is unset.
    let server = Scripted::new(|_| page(""));
    list(
        &server.url,
        &[("HTTP_PROXY", &proxy.url), ("http_proxy", " ")],
    )
    .exits(0);
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_configuration_error() {
    for address in ["socks5://127.0.0.1:1", "http://", "http://me:secret@ x"] {
        let run = list("http://s3.test", &[("http_proxy", address)]).exits(78);
        assert!(!run.stderr.contains("secret"), "{run}");
        run.says("http_proxy");
    }
    let run = list(
        "http://s3.test",
        &[("http_proxy", "http://me:secret@127.0.0.1:1")],
    )
    .exits(69);
    assert!(!run.stderr.contains("secret"), "{run}");
    run.says("127.0.0.1:1");
}
