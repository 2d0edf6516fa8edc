use std::process::ExitCode;

use buildhub_pipes::{cli, stage::s3_inventory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(s3_inventory::run)
}
