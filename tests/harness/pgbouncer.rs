//! PgBouncer before a database, by default in transaction pooling.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use postgres::{Client, NoTls};

use super::postgres::Database;
use super::{folder, left_out, wait_for};

/// It is stopped with the test that started it.
pub struct Pooler {
    /// The database through the pooler.
    pub url: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts a pooler with two server sessions before `database`; `None` if there is no
    /// PgBouncer. `settings` are lines of its configuration.
    pub fn new(database: &Database, settings: &str) -> Option<Self> {
        let found = Command::new("pgbouncer")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if found.is_err() {
            left_out("PgBouncer");
            return None;
        }
        let folder = folder();
        let mut url = url::Url::parse(&database.url).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let (host, server) = (url.host_str().unwrap(), url.port().unwrap());
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} port={server} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 2\n{settings}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("pgbouncer");
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(folder.path(), mode).unwrap();
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&file).stderr(Stdio::null()).spawn().unwrap();
        url.set_port(Some(port)).unwrap();
        let url = String::from(url);
        let mut own = Self {
            url,
            process,
            _folder: folder,
        };
        wait_for("PgBouncer", || {
            assert!(own.process.try_wait().unwrap().is_none(), "it has ended");
            Client::connect(&own.url, NoTls).is_ok()
        });
        Some(own)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
