//! How sqs-delete reports to sqs-receive what became of messages: lines of JSON on a Unix
//! socket that only their user can open, named after the run.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::private_dir::{self, PrivateDir, short_path};

/// What became of a message, by its receipt handle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageReport {
    Deleted(String),
    /// It will be received again.
    GivenUp(String),
}

/// Folders for the sockets, the best first.
fn folders() -> impl Iterator<Item = PathBuf> {
    let name = private_dir::name_for("queues");
    private_dir::bases().map(move |base| base.join(&name))
}

/// Takes reports of one run.
pub struct ReportServer {
    listener: UnixListener,
    dir: PrivateDir,
    name: String,
}

impl ReportServer {
    /// Listens for the reports of `run`, so that reports are kept until
    /// [`serve`](Self::serve) takes them.
    ///
    /// # Errors
    /// There is no folder for the socket (74).
    pub fn listen(run: &str) -> Result<Self> {
        let mut last = Errno::NOENT;
        let opened = folders().find_map(|path| {
            let opened = PrivateDir::enter(path);
            opened.map_err(|error| last = error).ok()
        });
        let dir = opened.ok_or_else(|| cannot_listen(last.into()))?;
        let name = format!("{}-{run}", rustix::process::getpid().as_raw_nonzero());
        remove_abandoned(&dir);
        let path = short_path(&dir.handle, &name);
        let listener = UnixListener::bind(&path).map_err(cannot_listen)?;
        // Others cannot enter the folder either.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).map_err(cannot_listen)?;
        Ok(Self {
            listener,
            dir,
            name,
        })
    }

    /// Calls `handle` with each report, and `connected` with 1 or -1 when a program connects or
    /// leaves, on threads of its own.
    ///
    /// # Errors
    /// There are no threads (74).
    pub fn serve(
        &self,
        handle: impl Fn(MessageReport) + Clone + Send + 'static,
        connected: impl Fn(i64) + Clone + Send + 'static,
    ) -> Result<()> {
        let listener = self.listener.try_clone().map_err(cannot_listen)?;
        let accept = move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // No file is left for it, say.
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                };
                connected(1);
                let (handle, left) = (handle.clone(), connected.clone());
                let read = move || {
                    for line in BufReader::new(stream)
                        .lines()
                        .map_while(std::io::Result::ok)
                    {
                        if let Ok(report) = serde_json::from_str(&line) {
                            handle(report);
                        }
                    }
                    left(-1);
                };
                if std::thread::Builder::new().spawn(read).is_err() {
                    connected(-1);
                }
            }
        };
        let thread = std::thread::Builder::new().name("reports".into());
        thread.spawn(accept).map_err(Error::local("threads"))?;
        Ok(())
    }
}

impl Drop for ReportServer {
    fn drop(&mut self) {
        self.dir.unlink(&self.name);
    }
}

fn cannot_listen(error: std::io::Error) -> Error {
    Error::local("cannot make the socket for sqs-delete; set TMPDIR to a folder of your own")(error)
}

/// Removes the sockets of killed programs.
fn remove_abandoned(dir: &PrivateDir) {
    for name in dir.names() {
        let pid = name.split('-').next().and_then(|pid| pid.parse().ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        let is_gone = |pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH);
        if pid.is_some_and(is_gone) {
            dir.unlink(&name);
        }
    }
}

/// Sends reports to the programs that received the messages, as far as they run here.
#[derive(Default)]
pub struct Reporter {
    /// By run; `None` where nobody listens.
    streams: HashMap<String, Option<UnixStream>>,
}

impl Reporter {
    /// Connects to the receiver of `run`, if it runs here.
    pub fn connect(&mut self, run: &str) {
        if !self.streams.contains_key(run) {
            let stream = folders().find_map(|path| connect(&PrivateDir::open(path).ok()?, run));
            self.streams.insert(run.to_owned(), stream);
        }
    }

    /// Sends reports of messages of `run`; a receiver that has ended needs none.
    pub fn send(&mut self, run: &str, reports: &[MessageReport]) {
        self.connect(run);
        let Some(Some(stream)) = self.streams.get_mut(run) else {
            return;
        };
        let mut lines = Vec::new();
        for report in reports {
            // Strings always serialise.
            drop(serde_json::to_writer(&mut lines, report));
            lines.push(b'\n');
        }
        if stream.write_all(&lines).is_err() {
            self.streams.insert(run.to_owned(), None);
        }
    }
}

fn connect(dir: &PrivateDir, run: &str) -> Option<UnixStream> {
    let names = dir.names();
    let name = names.iter().find(|name| {
        let id = name.split_once('-').map(|(_, id)| id);
        id == Some(run)
    });
    let stream = UnixStream::connect(short_path(&dir.handle, name?)).ok()?;
    // A receiver that stands still must not stop the deletions.
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .ok()?;
    Some(stream)
}
