use std::process::ExitCode;

use buildhub_pipes::{cli, stage::kinto_load};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(kinto_load::run)
}
