//! An imitation of S3 that fails on order, for tests of faults and for benches.
//!
//! It knows one bucket, lists it (`ListObjectsV2`) and gives its objects (GET, HEAD), to anybody.
//! Every fault is a flag. What a percentage hits depends on the seed and the request alone, and
//! never hits one request more than `--most` times in a row, so that who retries gets through.
//! `GET /_counts` tells what was asked so far, `POST /_reset` forgets it.

mod build;
mod computed;
mod encoding;
mod faults;
mod given;
mod listing;
mod objects;
mod payload;
mod query;
mod server;
mod synthetic;
mod throttle;

use std::io::{BufWriter, Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::{ArgGroup, Parser};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use computed::Computed;
use faults::Chances;
use given::Given;
use objects::Objects;
use server::{Server, Ways};
use synthetic::KeySpace;
use throttle::Limits;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Imitate an S3 bucket on 127.0.0.1, with faults
#[derive(Parser)]
#[command(group = ArgGroup::new("what").required(true).args(["objects", "synthetic"]))]
struct Args {
    /// NDJSON of the objects: key, body or `body_base64`, and if wanted `etag` (else the body's
    /// MD5), `last_modified`, `changed` (the body that --change answers with)
    #[arg(long, value_name = "FILE")]
    objects: Option<PathBuf>,
    /// Compute N objects instead, about every 50th a build
    #[arg(long, value_name = "N")]
    synthetic: Option<u64>,
    /// Their names: nightlies of 50 files each (plain), skewed as those of archive.mozilla.org,
    /// behind one long prefix and in many scripts, numbered in one folder, or hashes
    #[arg(long, value_name = "NAME", default_value = "plain", requires = "synthetic",
          value_parser = ["archive", "hash", "plain", "prefix", "sequential"])]
    distribution: String,
    /// Print the keys in their order, a line each, and end
    #[arg(long)]
    keys: bool,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// End as soon as the standard input is closed
    #[arg(long)]
    until_stdin_closes: bool,
    #[command(flatten)]
    ways: Ways,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    chances: Chances,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let objects = if let Some(file) = &args.objects {
        Objects::Given(Given::read(file)?)
    } else {
        let len = args.synthetic.unwrap_or_default();
        Objects::Computed(Computed::new(&args.distribution, len)?)
    };
    if args.keys {
        return print_keys(objects.keys());
    }
    let server = Arc::new(Server::new(objects, args.ways, args.limits, args.chances));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;

    if args.until_stdin_closes {
        tokio::select! {
            () = accept(listener, server) => {}
            () = stdin_closed() => {}
        }
    } else {
        accept(listener, server).await;
    }
    Ok(())
}

fn print_keys(keys: &dyn KeySpace) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut key = String::new();
    for index in 0..keys.len() {
        keys.key(index, &mut key);
        writeln!(out, "{key}")?;
    }
    Ok(out.flush()?)
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&server)));
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { server.answer(&request).await }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn stdin_closed() {
    let (closed, wait) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; 4096];
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        closed.send(())
    });
    let _ = wait.await;
}
