use std::process::ExitCode;

use buildhub_pipes::{cli, stage::sqs_receive};

fn main() -> ExitCode {
    cli::main(sqs_receive::run)
}
