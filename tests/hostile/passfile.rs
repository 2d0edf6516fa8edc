//! The file of passwords of PostgreSQL: who may read it, and which server gets which password.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use super::SECRET;
use crate::harness::{Run, Tool, folder};

/// A PostgreSQL that asks for a password in the clear, and refuses every one.
pub struct Database {
    pub port: u16,
    told: Arc<Mutex<Vec<String>>>,
}

impl Database {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = refuse(stream.unwrap(), &shared);
            }
        });
        Self { port, told }
    }

    /// Runs a loader with this file of passwords; returns whether the secret was sent.
    fn gets_secret(&self, url: &str, passwords: &str, mode: u32) -> (bool, Run) {
        let home = folder();
        let file = home.path().join(".pgpass");
        std::fs::write(&file, passwords.replace("PORT", &self.port.to_string())).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let url = url.replace("PORT", &self.port.to_string());
        let tool = Tool::new("bh-load").args(["--database", &url]);
        let run = tool.env("HOME", home.path()).run();
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        (told.iter().any(|text| text.contains(SECRET)), run)
    }
}

/// Reads a message whose length is told first.
fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut text = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut text)?;
    Ok(text)
}

fn refuse(mut stream: TcpStream, told: &Mutex<Vec<String>>) -> std::io::Result<()> {
    if message(&mut stream)? == 80_877_103_u32.to_be_bytes() {
        stream.write_all(b"N")?;
        message(&mut stream)?;
    }
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
    stream.read_exact(&mut [0])?;
    let password = message(&mut stream)?;
    told.lock()
        .unwrap()
        .push(String::from_utf8_lossy(&password).into_owned());
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mwrong password\0\0";
    stream.write_all(b"E")?;
    stream.write_all(&(u32::try_from(fields.len()).unwrap() + 4).to_be_bytes())?;
    stream.write_all(fields)
}

#[test]
fn a_file_of_passwords_that_others_can_read_is_ignored_and_named() {
    let database = Database::start();
    let url = "postgres://me@127.0.0.1:PORT/db";
    let line = format!("*:*:*:*:{SECRET}\n");
    let (sent, run) = database.gets_secret(url, &line, 0o600);
    run.exits(77);
    assert!(sent);
    for mode in [0o640, 0o604, 0o660] {
        let (sent, run) = database.gets_secret(url, &line, mode);
        let run = run
            .exits(77)
            .says("warning: ")
            .says(".pgpass")
            .says("chmod 600");
        assert!(!sent, "{run}");
    }
}

#[test]
fn a_password_goes_to_the_server_that_its_line_names() {
    let database = Database::start();
    let of = |place: &str| format!("# none\n{place}:db:me:{SECRET}\n");
    let address = "postgres://me@/db?hostaddr=127.0.0.1&port=PORT";
    let both = "postgres://me@127.0.0.1:1,127.0.0.1:PORT/db";
    for (url, place, sends, status) in [
        (address, "localhost:*", false, 77),
        (address, "127.0.0.1:PORT", true, 77),
        (
            "postgres://me@localhost:PORT/db?hostaddr=127.0.0.1",
            "localhost:PORT",
            true,
            77,
        ),
        (both, "127.0.0.1:1", false, 78),
        (both, "127.0.0.1:PORT", false, 78),
        (both, "127.0.0.1:*", true, 77),
    ] {
        let (sent, run) = database.gets_secret(url, &of(place), 0o600);
        let run = run.exits(status);
        assert_eq!(sent, sends, "{place}: {run}");
    }
}
