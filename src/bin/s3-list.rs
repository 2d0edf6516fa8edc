use std::process::ExitCode;

use buildhub_pipes::{cli, stage::s3_list};

// With the system's allocator: pages are a few large blocks, of which mimalloc
// keeps twice as many and is no faster.
fn main() -> ExitCode {
    cli::main(s3_list::run)
}
