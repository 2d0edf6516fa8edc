//! Credentials, and the files that they come from.

use std::fs;
use std::path::Path;

use crate::harness::scripted::{Scripted, page};
use crate::harness::{Run, Tool, folder};

/// Returns s3-list of a server, with this configuration; its requests are signed.
fn list(server: &Scripted, folder: &Path, config: &str) -> Tool {
    let path = folder.join("config");
    fs::write(&path, config).unwrap();
    let tool = Tool::new("s3-list").args(["--endpoint-url", &server.url, "s3://bench"]);
    tool.env("HOME", folder)
        .env("AWS_CONFIG_FILE", path)
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.join("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

/// Asserts that a run ends at once with this status, says these words, and asks S3 for nothing.
#[track_caller]
fn ends(server: &Scripted, run: Run, status: i32, words: &[&str]) {
    let run = run.exits(status);
    assert_eq!(run.count("/notes/retries"), 0, "{run}");
    words.iter().fold(run, |run, words| run.says(words));
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn credentials_that_no_request_can_carry_are_refused() {
    let (server, folder) = (Scripted::new(|_| page("")), folder());
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "t"),
    ];
    for (bad, _) in keys {
        for spoilt in ["x\n\ny", "\u{e9}", "x\ty"] {
            let value = |name, good| if name == bad { spoilt } else { good };
            let tool = keys
                .iter()
                .fold(list(&server, folder.path(), ""), |tool, (name, good)| {
                    tool.env(name, value(*name, *good))
                });
            ends(&server, tool.run(), 77, &[bad]);
        }
    }
    let tool = keys
        .iter()
        .fold(list(&server, folder.path(), ""), |tool, (name, good)| {
            tool.env(name, *good)
        });
    ends(
        &server,
        tool.env("AWS_REGION", "us-east-1\nx").run(),
        78,
        &["region"],
    );
}

#[test]
fn a_profile_that_cannot_be_used_is_named_with_what_mends_it() {
    let (server, folder) = (Scripted::new(|_| page("")), folder());
    let good = "[profile good]\nregion=us-east-1\n";
    let tool = || list(&server, folder.path(), good);
    let words = ["\"bad\"", "/config", "good", "aws configure --profile bad"];
    ends(&server, tool().args(["--profile", "bad"]).run(), 78, &words);
    ends(&server, tool().env("AWS_PROFILE", "bad").run(), 78, &words);
    let broken = list(&server, folder.path(), "[default]\nregion=x\nno setting\n");
    ends(
        &server,
        broken.run(),
        78,
        &["/config", "line 3", "\"default\"", "aws configure"],
    );
    let source = "[default]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=none\n";
    let run = list(&server, folder.path(), source).run();
    ends(&server, run, 78, &["source_profile \"none\"", "/config"]);
    let bundle = list(&server, folder.path(), "[default]\nca_bundle=/none.pem\n");
    ends(&server, bundle.run(), 78, &["ca_bundle", "/none.pem"]);
    // Blank is unset.
    list(&server, folder.path(), good)
        .env("AWS_PROFILE", " ")
        .arg("--no-sign-request")
        .run()
        .exits(0);
}

#[test]
fn credentials_that_cannot_be_had_end_the_run_at_once() {
    let (server, folder) = (Scripted::new(|_| page("")), folder());
    let sso = "[profile me]\nsso_session=s\nsso_account_id=1\nsso_role_name=r\n\
               [sso-session s]\nsso_region=us-east-1\nsso_start_url=https://sso.test/start\n";
    let run = list(&server, folder.path(), sso)
        .args(["--profile", "me"])
        .run();
    ends(&server, run, 77, &["aws sso login --profile me"]);
    let calls = folder.path().join("calls");
    let process = format!(
        "[default]\ncredential_process = sh -c 'echo called >> {}; echo no key >&2; exit 3'\n",
        calls.display()
    );
    let run = list(&server, folder.path(), &process).run();
    ends(&server, run, 77, &["credential_process", "no key"]);
    assert_eq!(fs::read_to_string(calls).unwrap(), "called\n");
    ends(
        &server,
        list(&server, folder.path(), "").run(),
        77,
        &["no credentials", "--no-sign-request"],
    );
}

#[test]
fn the_server_of_credentials_is_named_and_not_that_of_the_objects() {
    let (server, folder) = (Scripted::new(|_| page("")), folder());
    let run = list(&server, folder.path(), "")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
        .args(["--tries", "2"])
        .run()
        .exits(69);
    run.says("cannot get credentials: ")
        .says("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .says("gave up after 2 tries");
    let run = list(&server, folder.path(), "")
        .env("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/none")
        .run();
    ends(&server, run, 77, &["check AWS_WEB_IDENTITY_TOKEN_FILE"]);
    let login = "[default]\nlogin_session=arn:aws:signin:::session\n";
    let run = list(&server, folder.path(), login).run();
    ends(&server, run, 77, &["aws configure export-credentials"]);
}

#[test]
fn the_metadata_service_is_asked_without_a_proxy() {
    let (server, folder) = (Scripted::new(|_| page("")), folder());
    let proxy = Scripted::new(|_| page(""));
    let metadata = Scripted::new(|_| crate::harness::scripted::response(403, "", ""));
    let run = list(&server, folder.path(), "")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata.url)
        .env("http_proxy", &*proxy.url)
        .run();
    let words = [
        "cannot get credentials: failed to load IMDS session token: ",
        "IMDS is disabled or the caller has insufficient permissions; set AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, choose a --profile, or add --no-sign-request for a public bucket",
    ];
    ends(&server, run, 77, &words);
    assert!(!metadata.asked().is_empty());
    assert_eq!(proxy.asked(), [""; 0]);
}

/// Each provider of credentials has a server of its own, which has addresses of its own.
#[test]
fn a_blank_address_of_any_service_is_unset() {
    let folder = folder();
    let token = folder.path().join("token");
    fs::write(&token, "t").unwrap();
    let role = format!(
        "role_arn=arn:aws:iam::123456789012:role/r\nweb_identity_token_file={}\n",
        token.display()
    );
    let sts = Some(("AWS_ENDPOINT_URL_STS", " "));
    let all = Some(("AWS_ENDPOINT_URL", ""));
    let own = format!("[default]\n{role}endpoint_url =\n");
    let nested = format!("[default]\n{role}services = x\n[services x]\nsts =\n  endpoint_url =\n");
    for (variable, config) in [(sts, &role), (all, &role), (None, &own), (None, &nested)] {
        let config = match variable {
            Some(_) => format!("[default]\n{config}"),
            None => config.clone(),
        };
        let server = Scripted::new(|_| page(""));
        let proxy = Scripted::new(|_| crate::harness::scripted::response(403, "", ""));
        let tool = list(&server, folder.path(), &config).args(["--tries", "1"]);
        let tool = variable
            .into_iter()
            .fold(tool, |tool, (name, value)| tool.env(name, value));
        let run = tool.env("https_proxy", &*proxy.url).run();
        let asked = proxy.asked();
        assert!(
            asked.iter().any(|line| line.contains("sts.")),
            "{config}\n{asked:?}\n{run}"
        );
    }
}
