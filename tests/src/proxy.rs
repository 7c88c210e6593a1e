//! A TCP proxy between flowhost and a Redis server, which can fail as networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// They pass.
    Passing,
    /// They wait: connections stay and are accepted, and nothing arrives.
    Frozen,
    /// Nobody is connected.
    Cut,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Where connections lead.
    server: SocketAddr,
    /// Both ends of every connection.
    open: Vec<[TcpStream; 2]>,
    /// Part of the request whose reply is lost, and how many more of those.
    swallow: Option<(Vec<u8>, usize)>,
    swallowed: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A proxy on a free port of loopback. It lasts as long as the process.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Between whoever comes and the server at `port` of loopback.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let state = State { mode: Mode::Passing, server, open: Vec::new(), swallow: None, swallowed: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                theirs.connect(client);
            }
        });
        Self { address, shared }
    }

    /// Where a Redis server seems to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections, and refuses others.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Passes nothing on any more. Connections stay, and others are accepted.
    pub fn freeze(&self) {
        self.set(Mode::Frozen);
    }

    /// Passes everything again, what waited first.
    pub fn restore(&self) {
        self.set(Mode::Passing);
    }

    /// Leads to another port from now on. Connections that there are end.
    pub fn lead_to(&self, port: u16) {
        self.cut();
        self.shared.lock().server.set_port(port);
        self.restore();
    }

    /// Loses the replies to the next `times` requests that contain `part`: the server gets the request, then
    /// the connection ends.
    pub fn swallow(&self, part: &str, times: usize) {
        self.shared.lock().swallow = Some((part.as_bytes().to_vec(), times));
    }

    /// How many replies were lost so far.
    #[must_use]
    pub fn swallowed(&self) -> usize {
        self.shared.lock().swallowed
    }

    fn set(&self, mode: Mode) {
        let mut state = self.shared.lock();
        state.mode = mode;
        if mode == Mode::Cut {
            for stream in state.open.drain(..).flatten() {
                // It may have ended.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let (mode, server) = {
            let state = self.lock();
            (state.mode, state.server)
        };
        if mode == Mode::Cut {
            return;
        }
        // A server that is down is one that refuses: the client is dropped.
        let Ok(server) = TcpStream::connect(server) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let twice = |stream: &TcpStream| stream.try_clone().unwrap();
        self.lock().open.push([twice(&client), twice(&server)]);
        let lost = Arc::new(Mutex::new(false));
        for (from, to, asks) in [(twice(&client), twice(&server), true), (server, client, false)] {
            let (shared, lost) = (Arc::clone(self), Arc::clone(&lost));
            thread::spawn(move || shared.pass(from, to, asks, &lost));
        }
    }

    /// Passes bytes one way until an end closes. `asks` where they are requests.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, asks: bool, lost: &Mutex<bool>) {
        let mut buffer = vec![0; 64 << 10];
        // The end of what passed: a request may come in two pieces.
        let mut tail = Vec::new();
        let is_lost = || *lost.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap();
            let mut state = self.lock();
            while state.mode == Mode::Frozen {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let mut loses = false;
            if asks && let Some((part, times)) = &mut state.swallow {
                tail.extend_from_slice(bytes);
                loses = tail.windows(part.len()).any(|window| window == part);
                if loses {
                    *times -= 1;
                    if *times == 0 {
                        state.swallow = None;
                    }
                    state.swallowed += 1;
                    // From here on nothing that the server says arrives.
                    *lost.lock().unwrap_or_else(PoisonError::into_inner) = true;
                } else {
                    let keep = tail.len().saturating_sub(part.len());
                    tail.drain(..keep);
                }
            }
            drop(state);
            let dropped = !asks && is_lost();
            if !dropped && to.write_all(bytes).is_err() {
                break;
            }
            if loses {
                break;
            }
        }
        // The server reads what was sent before it sees the end; then its own end closes the client's.
        let _ = to.shutdown(if asks { Shutdown::Write } else { Shutdown::Both });
        if !asks {
            let _ = from.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::redis::Redis;

    fn ask<T: redis::FromRedisValue>(proxy: &Proxy, command: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(proxy.url())?.get_connection()?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection)
    }

    #[test]
    fn it_fails_as_it_is_told() {
        let redis = Redis::start(&[]);
        let proxy = Proxy::to(redis.port());
        assert_eq!(ask::<u32>(&proxy, &["INCR", "n"]).unwrap(), 1);
        proxy.swallow("INCR", 1);
        ask::<u32>(&proxy, &["INCR", "n"]).unwrap_err();
        // The request arrived, and the next one is answered.
        assert_eq!(ask::<u32>(&proxy, &["INCR", "n"]).unwrap(), 3);
        assert_eq!(proxy.swallowed(), 1);
        let mut held = redis::Client::open(proxy.url()).unwrap().get_connection().unwrap();
        held.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        proxy.freeze();
        assert!(redis::cmd("PING").query::<()>(&mut held).unwrap_err().is_timeout());
        let mut other = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        other.write_all(b"PING\r\n").unwrap();
        proxy.restore();
        let mut answer = [0; 7];
        other.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        assert_eq!(ask::<u32>(&proxy, &["INCR", "n"]).unwrap(), 4);
        proxy.cut();
        assert!(ask::<()>(&proxy, &["PING"]).is_err());
        proxy.restore();
        assert_eq!(ask::<u32>(&proxy, &["INCR", "n"]).unwrap(), 5);
    }
}
