//! A way to a server that can be cut and put back.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Forwards to a server; as long as it is cut, connections end at once.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// A way to the server of `url`.
    pub fn new(url: &str) -> Self {
        let mut url = url::Url::parse(url).unwrap();
        let server = url.socket_addrs(|| None).unwrap()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                join(client.unwrap(), server, &shared);
            }
        });
        let url = url.as_str().trim_end_matches('/').to_owned();
        Self { url, state }
    }

    /// Ends all connections, and every new one until [`restore`](Self::restore).
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.cut = true;
        for stream in state.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn restore(&self) {
        self.state.lock().unwrap().cut = false;
    }
}

fn join(client: TcpStream, server: SocketAddr, state: &Mutex<State>) {
    let mut state = state.lock().unwrap();
    if state.cut {
        return;
    }
    let server = TcpStream::connect(server).unwrap();
    let pairs = [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server.try_clone().unwrap(), client.try_clone().unwrap()),
    ];
    state.streams.extend([client, server]);
    for (mut from, mut to) in pairs {
        std::thread::spawn(move || {
            // Either end may leave at any time.
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
