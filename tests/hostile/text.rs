//! Text from outside is escaped in messages: of keys, documents, servers, arguments, the
//! environment and file names. The harness checks every message of every test for it; here is
//! what each place shows instead.

use serde_json::{Value, json};

use crate::harness::faulty::Faulty;
use crate::harness::http::answering;
use crate::harness::kinto::StandIn;
use crate::harness::postgres::Database;
use crate::harness::sample::record;
use crate::harness::{Run, Tool, folder};

/// Clears the screen, begins a line, turns the direction of writing, and more.
const HOSTILE: &str =
    "x\u{1b}[2J\r\nbh-load: 9 in\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{9b}1m\u{7f}é";
const SHOWN: &str =
    r"x\u{1b}[2J\r\nbh-load: 9 in\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{9b}1m\u{7f}é";

/// Asserts that each line of a log comes from the program itself.
#[track_caller]
fn is_a_log(run: Run, program: &str) -> Run {
    let own = |line: &str| line.starts_with(&format!("{program}: "));
    assert!(run.stderr.lines().all(own), "{run}");
    run
}

#[test]
fn keys_and_documents_are_escaped_in_messages() {
    let line = json!({"bucket": HOSTILE, "key": HOSTILE, "build": {HOSTILE: HOSTILE}});
    for program in ["bh-filter", "bh-fetch", "bh-validate", "bh-load"] {
        let tool = match program {
            "bh-fetch" => Tool::new(program).args(["--no-sign-request", "--tries", "1"]),
            _ => Tool::new(program),
        };
        let tool = match program {
            "bh-validate" => tool,
            "bh-fetch" => tool.args(["--endpoint-url", "http://127.0.0.1:1"]),
            _ => tool.args(["--database", "sqlite:b.db"]),
        };
        // Not JSON, no object, a wrong member, and as it should be.
        let lines = format!("{HOSTILE}\n[\"{HOSTILE}\"]\n{{\"key\":7,\"{HOSTILE}\":1}}\n{line}\n");
        is_a_log(tool.input(lines).run(), program);
    }
}

#[test]
fn messages_as_json_are_one_line_of_json_each() {
    let line = json!({"bucket": "b", "key": HOSTILE});
    let tool = Tool::new("bh-fetch").args(["--endpoint-url", "http://127.0.0.1:1"]);
    let tool = tool.args(["--no-sign-request", "--tries", "1", "--log-format", "json"]);
    let run = tool.input(line.to_string()).run().exits(69);
    let messages: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let text = |message: &Value| message["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        messages.iter().any(|message| text(message).contains(SHOWN)),
        "{run}"
    );
}

#[test]
fn the_words_of_an_s3_server_are_escaped() {
    let body = format!("<Error><Code>AccessDenied</Code><Message>{HOSTILE}</Message></Error>");
    let url = answering("403 Forbidden", &body);
    let tool = Tool::new("s3-list").args(["--endpoint-url", &url, "--no-sign-request"]);
    is_a_log(
        tool.arg("s3://b").run().exits(77).says(r"x\u{1b}[2J"),
        "s3-list",
    );
}

#[test]
fn the_words_of_kinto_are_escaped() {
    let server = StandIn::new(|_, _| Some((403, vec![], json!({"message": HOSTILE}))));
    for program in ["kinto-export", "kinto-load"] {
        let tool = Tool::new(program).args(["--server", &server.url, "--retries", "0"]);
        let run = tool
            .env("KINTO_AUTH", "a:b")
            .input(record(0).to_string())
            .run()
            .exits(77);
        is_a_log(run, program);
    }
}

#[test]
fn the_words_of_elasticsearch_are_escaped() {
    let body = json!({"error": {"type": HOSTILE, "reason": HOSTILE}, "status": 403}).to_string();
    let head = "403 Forbidden\nx-elastic-product: Elasticsearch\ncontent-type: application/json";
    let url = answering(head, &body);
    let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
    let run = tool.args(["--elasticsearch", &url]).run();
    is_a_log(run.says(r"x\u{1b}[2J"), "bh-load");
}

#[test]
fn the_words_of_postgresql_are_escaped() {
    let Some(database) = Database::new() else {
        return;
    };
    let first = Tool::new("bh-load").args(["--database", &database.url]);
    first.run().exits(0);
    let raise = "create function stop() returns trigger language plpgsql as $$ begin
        raise exception E'x\\x1b[2J\\nbh-load: 9 in\\u202e' using hint = E'y\\x1b[1m'; end $$;
        create trigger stop before insert on main_build for each row execute procedure stop();";
    database.client().batch_execute(raise).unwrap();
    let tool = Tool::new("bh-load").args(["--database", &database.url]);
    let run = tool.input(record(0).to_string()).run();
    is_a_log(run.says(r"x\u{1b}[2J\nbh-load: 9 in\u{202e}"), "bh-load");
}

#[test]
fn arguments_and_the_environment_are_escaped_in_the_usage() {
    let argument = Tool::new("s3-list")
        .args(["--tries", HOSTILE, "s3://b"])
        .run()
        .exits(2);
    argument.says(SHOWN);
    let unknown = Tool::new("s3-list")
        .arg(format!("--{HOSTILE}"))
        .run()
        .exits(2);
    unknown.says(SHOWN);
    let variable = Tool::new("kinto-load")
        .env("BATCH_MAX_REQUESTS", HOSTILE)
        .run()
        .exits(2);
    variable.says(SHOWN);
    Tool::new("s3-list")
        .arg("s3://b")
        .env("AWS_ENDPOINT_URL", HOSTILE)
        .run()
        .says(r"x\u{1b}[2J");
}

#[test]
fn file_names_are_escaped_in_messages() {
    let folder = folder();
    let path = folder.path().join(format!("{HOSTILE}/list.json"));
    let list = Tool::new("s3-list").arg("--show-state").arg(&path);
    is_a_log(list.run().says(SHOWN), "s3-list");
    let rejects = Tool::new("bh-filter").arg("--rejects").arg(&path);
    is_a_log(rejects.run().exits(74).says(SHOWN), "bh-filter");
}

#[test]
fn a_state_is_shown_with_its_text_escaped() {
    let server = Faulty::start(&[], &["--bucket", "b"]);
    let folder = folder();
    let state = folder.path().join("list.json");
    let list = server.tool("s3-list").arg("--resume-file").arg(&state);
    list.arg(format!("s3://b/{HOSTILE}")).run().exits(0);
    let show = Tool::new("s3-list").arg("--show-state").arg(&state);
    let shown = show.run().exits(0);
    let text = String::from_utf8(shown.stdout.clone()).unwrap();
    assert!(text.contains(SHOWN), "{shown}");
}
