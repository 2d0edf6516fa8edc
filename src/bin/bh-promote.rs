use std::process::ExitCode;

use buildhub_pipes::{cli, stage::bh_promote};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(bh_promote::run)
}
