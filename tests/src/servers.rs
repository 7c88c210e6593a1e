//! Servers on free ports of this machine, for tests of what guests may reach. They end with the
//! process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;

/// A server that counts who came.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Server {
    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its origin of HTTP, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections or datagrams it had.
    #[must_use]
    pub fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    fn listen(host: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let (counted, serve) = (Arc::clone(&came), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, came }
    }

    /// Hears all that is said over TCP, and says it back.
    #[must_use]
    pub fn echo(host: &str) -> Self {
        Self::listen(host, |mut stream| {
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).is_ok() {
                let _ = stream.write_all(&heard);
            }
        })
    }

    /// As [`Server::echo`], but answers nobody until so many are there that wait for an answer.
    #[must_use]
    pub fn together(host: &str, many: usize) -> Self {
        let barrier = Barrier::new(many);
        Self::listen(host, move |mut stream| {
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).is_ok() {
                barrier.wait();
                let _ = stream.write_all(&heard);
            }
        })
    }

    /// Sends every datagram back.
    #[must_use]
    pub fn datagrams(host: &str) -> Self {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&came);
        thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
            }
        });
        Self { address, came }
    }

    /// Speaks HTTP. Paths are `/hello`; `/packed`, which says that its body is compressed; `/redirect?URL`; `/large?BYTES`, with a length, and
    /// `/endless`, without; `/silent`, which never answers; `/stalling`, which stops in the middle;
    /// and every other, which answers with the length of the request's body.
    #[must_use]
    pub fn http() -> Self {
        Self::listen("127.0.0.1", |stream| {
            // A client that hangs up is none of the server's business.
            let _ = converse(&stream);
        })
    }
}

/// Lets tasks end when the test says so.
#[derive(Debug)]
pub struct Gate {
    server: Server,
    open: Arc<OnceLock<()>>,
}

impl Gate {
    /// A gate that is closed.
    #[must_use]
    pub fn closed() -> Self {
        let open = Arc::<OnceLock<()>>::default();
        let opened = Arc::clone(&open);
        let server = Server::listen("127.0.0.1", move |mut stream| {
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).is_ok() {
                opened.wait();
                let _ = stream.write_all(&heard);
            }
        });
        Self { server, open }
    }

    /// Where it is, for the `net` grant of tasks that wait here.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Lines of a task of `reach.wasm` that waits here, but for its grant.
    #[must_use]
    pub fn waits(&self) -> String {
        format!("run = \"reach#exchange\"\nwith = {{ address = \"{}\", text = \"\" }}", self.address())
    }

    /// All lines of such a task.
    #[must_use]
    pub fn task(&self) -> String {
        format!("{}\ngrants = {{ net = [\"{}\"] }}", self.waits(), self.address())
    }

    /// All that wait here go on.
    pub fn open(&self) {
        // It may be open.
        let _ = self.open.set(());
    }
}

fn converse(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut chunked = false;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        chunked |= field.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        if field.trim().is_empty() {
            break;
        }
    }
    let mut writer = stream;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    match path {
        "/hello" => writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        "/packed" => {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello")
        }
        "/redirect" => {
            write!(writer, "HTTP/1.1 302 Found\r\nlocation: {query}\r\ncontent-length: 0\r\n\r\n")
        }
        "/large" => {
            let mut left: u64 = query.parse().unwrap_or_default();
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n")?;
            while left > 0 {
                let piece = left.min(65_536);
                writer.write_all(&vec![b'x'; usize::try_from(piece).unwrap_or_default()])?;
                left -= piece;
            }
            Ok(())
        }
        "/endless" => {
            writer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                writer.write_all(b"10000\r\n")?;
                writer.write_all(&[b'x'; 65_536])?;
                writer.write_all(b"\r\n")?;
            }
        }
        "/silent" => hang_up(reader),
        "/stalling" => {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")?;
            hang_up(reader)
        }
        _ => {
            let length = if chunked { chunks(&mut reader)? } else { 0 };
            let text = length.to_string();
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
        }
    }
}

/// Waits until the client does.
fn hang_up(mut reader: impl Read) -> std::io::Result<()> {
    std::io::copy(&mut reader, &mut std::io::sink()).map(drop)
}

/// The length of a chunked body.
fn chunks(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        std::io::copy(&mut reader.by_ref().take(size + 2), &mut std::io::sink())?;
        length += size;
        if size == 0 {
            return Ok(length);
        }
    }
}
