use std::process::ExitCode;

use buildhub_pipes::{cli, stage::bh_fetch};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(bh_fetch::run)
}
