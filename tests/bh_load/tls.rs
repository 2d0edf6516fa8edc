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
    /// Starts a server; `certify` makes `server.crt` and `server.key` in a folder.
    fn new(certify: impl FnOnce(&Path)) -> Option<Self> {
        let found = std::fs::read_dir("/usr/lib/postgresql").ok();
        let newest = found.and_then(|all| all.filter_map(|entry| Some(entry.ok()?.path())).max());
        let Some(programs) = newest.map(|version| version.join("bin")) else {
            left_out("PostgreSQL's own programs");
            return None;
        };
        let folder = folder();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        certify(folder.path());
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
    let certify = |folder: &Path| {
        certificate(folder, "server", "30");
        certificate(folder, "other", "30");
    };
    let Some(server) = Server::new(certify) else {
        return;
    };
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

/// What an authority needs to sign, and to revoke.
const AUTHORITY: &str = "
[ca]
default_ca = own
[own]
database = index
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = any
";

/// Makes an authority, a certificate for 127.0.0.1 that it signs, and its lists of revoked
/// certificates: `none.crl`, and `server.crl`, which names that one.
fn sign(folder: &Path) {
    std::fs::write(folder.join("ca.conf"), AUTHORITY).unwrap();
    std::fs::write(folder.join("index"), "").unwrap();
    std::fs::write(folder.join("serial"), "01\n").unwrap();
    std::fs::write(folder.join("crlnumber"), "01\n").unwrap();
    for command in [
        "req -x509 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.crt",
        "req -new -nodes -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -keyout server.key \
         -out server.csr",
        "ca -batch -notext -config ca.conf -in server.csr -out server.crt",
        "ca -config ca.conf -gencrl -out none.crl",
        "ca -config ca.conf -revoke server.crt",
        "ca -config ca.conf -gencrl -out server.crl",
    ] {
        let mut openssl = Command::new("openssl");
        let openssl = openssl.args(command.split_whitespace()).current_dir(folder);
        let done = openssl.output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
    }
}

#[test]
fn settings_that_guard_tls_are_obeyed() {
    let Some(server) = Server::new(sign) else {
        return;
    };
    let file = |name: &str| server.folder.path().join(name);
    let roots = |mode: &str| format!("sslmode={mode}&sslrootcert={}", file("ca.crt").display());
    for (revoked, status) in [
        ("none.crl", 0),
        ("server.crl", 77),
        ("ca.crt", 78),
        ("no.crl", 78),
    ] {
        let path = file(revoked);
        for mode in ["require", "verify-ca", "verify-full"] {
            let query = format!("{}&sslcrl={}", roots(mode), path.display());
            server.load(&query, &[]).exits(status);
        }
        server
            .load(&roots("verify-ca"), &[("PGSSLCRL", &path)])
            .exits(status);
    }
    // A folder of lists, each named by a digest of its authority; others are no lists.
    for (revoked, status) in [("none.crl", 0), ("server.crl", 77), ("ca.crt", 78)] {
        let folder = file(&format!("{revoked}.d"));
        std::fs::create_dir(&folder).unwrap();
        let query = format!("{}&sslcrldir={}", roots("verify-ca"), folder.display());
        server.load(&query, &[]).exits(78).says("openssl rehash");
        std::fs::write(folder.join("README"), "lists").unwrap();
        std::fs::copy(file(revoked), folder.join("0123abcd.r0")).unwrap();
        server.load(&query, &[]).exits(status);
        let variable = [("PGSSLCRLDIR", &*folder)];
        server.load(&roots("require"), &variable).exits(status);
    }
    let home = server.folder.path().join("home");
    std::fs::create_dir_all(home.join(".postgresql")).unwrap();
    std::fs::copy(file("server.crl"), home.join(".postgresql/root.crl")).unwrap();
    server
        .load(&roots("verify-full"), &[("HOME", &home)])
        .exits(77);

    // The authorities of the system sign for every name.
    let public = [("SSL_CERT_FILE", &*file("ca.crt"))];
    let other_name = |mode: &str| {
        let (tool, port) = (Tool::new("bh-load"), server.port);
        let url =
            format!("postgres://postgres@localhost:{port}/postgres?hostaddr=127.0.0.1&{mode}");
        let tool = tool
            .args(["--database", &url])
            .env(public[0].0, public[0].1);
        tool.input(ndjson(&[record(0)])).run()
    };
    server.load("sslmode=verify-ca", &public).exits(0);
    other_name("sslmode=verify-ca").exits(77);
    other_name("sslmode=verify-ca&sslrootcert=system").exits(77);
    other_name(&roots("verify-ca")).exits(0);

    for versions in [
        "ssl_min_protocol_version=TLSv1.3",
        "ssl_max_protocol_version=TLSv1.2",
        "ssl_min_protocol_version=TLSv1&ssl_max_protocol_version=TLSv1.3",
    ] {
        server
            .load(&format!("{}&{versions}", roots("verify-full")), &[])
            .exits(0);
    }
    let key = file("server.key");
    let client = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        file("server.crt").display(),
        key.display()
    );
    server.load(&client, &[]).exits(0);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, mode).unwrap();
    server
        .load(&client, &[])
        .exits(78)
        .says("server.key")
        .says("chmod 600");
    server
        .load(&format!("{client}&sslcertmode=disable"), &[])
        .exits(0);
}
