//! A proxy to a server that can be cut and restored, and that holds a
//! conversation at a chosen moment.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};

use super::hold::Hold;

/// Forwards to a server; while it is cut, connections are closed at once.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    /// Connections that were closed at once since the last cut.
    refused: usize,
    streams: Vec<Weak<TcpStream>>,
    trap: Option<(Trap, Arc<Hold>)>,
    responses: Option<Arc<Hold>>,
    /// How often the text of the trap has passed.
    seen: usize,
    /// The first lines of all GET requests.
    asked: Vec<String>,
}

/// The point at which a request and its response are held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Point {
    /// The server has not received the request.
    Asked,
    /// The server has answered, and the client has not received the response.
    Answered,
    /// The client has received the beginning of the response.
    Heard,
}

/// A moment of a conversation: the `nth` request that contains `text`.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub text: &'static str,
    pub nth: usize,
    pub point: Point,
}

impl Proxy {
    /// Starts a proxy to the server at `url`.
    pub fn new(url: &str) -> Self {
        let mut url = url::Url::parse(url).unwrap();
        let server = url.socket_addrs(|| None).unwrap()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        // It runs until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                join(client.unwrap(), server, &shared);
            }
        });
        let url = url.as_str().trim_end_matches('/').to_owned();
        Self { url, state }
    }

    /// Closes all connections, and every new one until
    /// [`restore`](Self::restore).
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.cut = true;
        state.refused = 0;
        for stream in state
            .streams
            .drain(..)
            .filter_map(|stream| stream.upgrade())
        {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until programs have tried in vain to connect, `times` since the last cut.
    #[track_caller]
    pub fn has_refused(&self, times: usize) {
        super::wait_for("connections that are refused", || {
            self.state.lock().unwrap().refused >= times
        });
    }

    pub fn restore(&self) {
        self.state.lock().unwrap().cut = false;
    }

    /// Sets a trap instead of an earlier one, and resets the count.
    pub fn set(&self, trap: Trap) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        let mut state = self.state.lock().unwrap();
        state.trap = Some((trap, Arc::clone(&hold)));
        state.seen = 0;
        hold
    }

    /// Holds every response until the release.
    pub fn hold_responses(&self) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        self.state.lock().unwrap().responses = Some(Arc::clone(&hold));
        hold
    }

    /// Returns how often the text of the trap has passed.
    pub fn seen(&self) -> usize {
        self.state.lock().unwrap().seen
    }

    /// Returns how many GET requests have come since the last call of
    /// [`asked`](Self::asked).
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    /// Returns the GET requests since the last call: `GET /path?query
    /// HTTP/1.1`. All programs must have exited: requests that a dead one has
    /// sent may still have to be read.
    pub fn asked(&self) -> Vec<String> {
        super::wait_for("the connections to end", || {
            let state = self.state.lock().unwrap();
            state.streams.iter().all(|end| end.strong_count() == 0)
        });
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn join(client: TcpStream, server: SocketAddr, shared: &Arc<Mutex<State>>) {
    let mut state = shared.lock().unwrap();
    if state.cut {
        state.refused += 1;
        return;
    }
    let ends = [client, TcpStream::connect(server).unwrap()].map(Arc::new);
    state.streams.retain(|stream| stream.strong_count() > 0);
    let awaited = Arc::<AtomicBool>::default();
    for (from, to, there) in [(0, 1, true), (1, 0, false)] {
        ends[from].set_nodelay(true).unwrap();
        state.streams.push(Arc::downgrade(&ends[from]));
        let pump = Pump {
            there,
            from: Arc::clone(&ends[from]),
            to: Arc::clone(&ends[to]),
            state: Arc::clone(shared),
            awaited: Arc::clone(&awaited),
            before: Vec::new(),
            line: Vec::new(),
        };
        std::thread::spawn(move || pump.run());
    }
}

/// One direction of a connection.
struct Pump {
    there: bool,
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    state: Arc<Mutex<State>>,
    /// Whether the next response belongs to the request of the trap.
    awaited: Arc<AtomicBool>,
    /// The last bytes: the text of the trap may come in two pieces.
    before: Vec<u8>,
    line: Vec<u8>,
}

impl Pump {
    /// Forwards until either end closes.
    fn run(mut self) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = (&*self.from).read(&mut buffer) {
            let bytes = &buffer[..read];
            let held = if self.there {
                self.asks(bytes)
            } else {
                self.answers()
            };
            let (point, hold) = held.unzip();
            let stands = |hold: &Arc<Hold>| hold.stand();
            if point != Some(Point::Heard) && !hold.as_ref().is_none_or(stands) {
                break;
            }
            if (&*self.to).write_all(bytes).is_err() {
                break;
            }
            if point == Some(Point::Heard) && !hold.as_ref().is_none_or(stands) {
                break;
            }
        }
        let _ = self.to.shutdown(Shutdown::Write);
        let _ = self.from.shutdown(Shutdown::Read);
    }

    /// Returns the trap that the request triggers.
    fn asks(&mut self, bytes: &[u8]) -> Option<(Point, Arc<Hold>)> {
        let mut state = self.state.lock().unwrap();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(piece);
            if piece.ends_with(b"\n") {
                if self.line.starts_with(b"GET ") {
                    let line = String::from_utf8_lossy(&self.line);
                    state.asked.push(line.trim_end().to_owned());
                }
                self.line.clear();
            }
        }
        let (trap, hold) = state.trap.clone()?;
        self.before.extend(bytes);
        let came = memchr::memmem::find_iter(&self.before, trap.text).count();
        let kept = self.before.len().min(trap.text.len() - 1);
        self.before.drain(..self.before.len() - kept);
        let seen = state.seen;
        state.seen += came;
        if trap.nth <= seen || state.seen < trap.nth {
            return None;
        }
        if trap.point != Point::Asked {
            self.awaited.store(true, SeqCst);
            return None;
        }
        Some((trap.point, hold))
    }

    fn answers(&self) -> Option<(Point, Arc<Hold>)> {
        let state = self.state.lock().unwrap();
        if let Some(hold) = &state.responses {
            return Some((Point::Answered, Arc::clone(hold)));
        }
        let (trap, hold) = state.trap.clone()?;
        let awaited = self.awaited.swap(false, SeqCst);
        awaited.then_some((trap.point, hold))
    }
}
