use std::process::ExitCode;

use buildhub_pipes::{cli, stage::sqs_delete};

fn main() -> ExitCode {
    cli::main(sqs_delete::run)
}
