//! TLS to PostgreSQL, by libpq's meaning of `sslmode`: a server of our own with a certificate that
//! nobody signed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::sample::{ndjson, record};
use crate::harness::{Run, Tool, folder, left_out, wait_for};

/// Makes a certificate that signs itself, and its key.
fn certificate(folder: &Path, name: &str, days: &str) {
    let done = Command::new("openssl")
        .args([
            "req",
            "-new",
            "-x509",
            "-days",
            days,
            "-nodes",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-out")
        .arg(folder.join(format!("{name}.crt")))
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .stderr(Stdio::null())
        .status();
    assert!(done.unwrap().success());
}

/// A server with TLS; stopped with the test that started it.
struct Server {
    process: std::process::Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn new() -> Option<Self> {
        let found = std::fs::read_dir("/usr/lib/postgresql").ok();
        let newest = found.and_then(|all| all.filter_map(|entry| Some(entry.ok()?.path())).max());
        let Some(programs) = newest.map(|version| version.join("bin")) else {
            left_out("PostgreSQL's own programs");
            return None;
        };
        let folder = folder();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        certificate(folder.path(), "server", "30");
        certificate(folder.path(), "other", "30");
        let command = |program: &str| {
            let program = programs.join(program);
            if rustix::process::geteuid().is_root() {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
                command.arg(program);
                command
            } else {
                Command::new(program)
            }
        };
        let data = folder.path().join("data");
        let made = command("initdb")
            .args(["-A", "trust", "-U", "postgres", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        for name in ["server.crt", "server.key"] {
            let place = data.join(name);
            std::fs::copy(folder.path().join(name), &place).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&place, mode).unwrap();
            if rustix::process::geteuid().is_root() {
                let of = std::fs::metadata(data.join("PG_VERSION")).unwrap();
                let (user, group) = {
                    use std::os::unix::fs::MetadataExt;
                    (of.uid(), of.gid())
                };
                std::os::unix::fs::chown(&place, Some(user), Some(group)).unwrap();
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "ssl=on",
                "-c",
                "listen_addresses=127.0.0.1",
            ])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let own = Self {
            process,
            port,
            folder,
        };
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        wait_for("PostgreSQL", || {
            postgres::Client::connect(&url, postgres::NoTls).is_ok()
        });
        Some(own)
    }

    fn load(&self, query: &str, environment: &[(&str, &Path)]) -> Run {
        let url = format!(
            "postgres://postgres@127.0.0.1:{}/postgres?{query}",
            self.port
        );
        let tool = Tool::new("bh-load").args(["--database", &url]);
        let environment = environment.iter();
        let tool = environment.fold(tool, |tool, (name, value)| tool.env(name, *value));
        tool.input(ndjson(&[record(0)])).run()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(id) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        }
        drop(self.process.wait());
    }
}

#[test]
fn a_self_signed_certificate_is_checked_as_by_libpq() {
    let Some(server) = Server::new() else { return };
    let file = |name: &str| server.folder.path().join(name);
    let (own, other) = (file("server.crt"), file("other.crt"));
    let home = server.folder.path().join("home");
    std::fs::create_dir_all(home.join(".postgresql")).unwrap();
    std::fs::copy(&other, home.join(".postgresql/root.crt")).unwrap();
    let named = |mode: &str, roots: &Path| {
        server.load(
            &format!("sslmode={mode}&sslrootcert={}", roots.display()),
            &[],
        )
    };
    for mode in ["verify-full", "verify-ca", "require"] {
        named(mode, &own).exits(0);
        named(mode, &other).exits(77);
        server
            .load(&format!("sslmode={mode}"), &[("PGSSLROOTCERT", &other)])
            .exits(77);
        server
            .load(&format!("sslmode={mode}"), &[("HOME", &home)])
            .exits(77);
    }
    server.load("sslmode=require", &[]).exits(0);
    server.load("sslmode=prefer", &[("HOME", &home)]).exits(0);
    server.load("sslrootcert=system", &[]).exits(77);
    server
        .load("sslmode=require&sslrootcert=system", &[])
        .exits(77);
    server
        .load("sslmode=disable&sslrootcert=system", &[])
        .exits(2);
    let client = format!(
        "sslmode=require&sslcert={0}/server.crt&sslkey={0}/server.key",
        server.folder.path().display()
    );
    server.load(&client, &[]).exits(0);
    let keyless = client.split("&sslkey").next().unwrap();
    server.load(keyless, &[]).exits(2).says("sslkey");
}
