//! The peer of bh-validate in `scripts/bench`: what a Rust program does that
//! reads lines with serde_json and asks the `jsonschema` crate, in a plain
//! loop on one thread.

use std::io::{BufRead, BufWriter, Write};

use serde_json::Value;

fn main() -> anyhow::Result<()> {
    let schema: Value = serde_saphyr::from_str(include_str!("../schema.yaml"))?;
    let validator = jsonschema::validator_for(&schema["schema"])?;
    let mut input = std::io::stdin().lock();
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let record: Value = serde_json::from_slice(&line)?;
        if validator.is_valid(&record["build"]) {
            output.write_all(&line)?;
        }
        line.clear();
    }
    Ok(output.flush()?)
}
