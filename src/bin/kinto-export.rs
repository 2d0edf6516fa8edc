use std::process::ExitCode;

use buildhub_pipes::{cli, stage::kinto_export};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(kinto_export::run)
}
