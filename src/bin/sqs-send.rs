use std::process::ExitCode;

use buildhub_pipes::{cli, stage::sqs_send};

fn main() -> ExitCode {
    cli::main(sqs_send::run)
}
