//! Reaches for what a task may have been granted, and says what it got.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

wit_bindgen::generate!({ world: "reach", generate_all });

use exports::example::reach::reaching::Guest;
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::random::{insecure, insecure_seed, random};

struct Component;

impl Guest for Component {
    fn read(path: String) -> Result<String, String> {
        told(fs::read_to_string(path))
    }

    fn write(path: String, text: String) -> Result<(), String> {
        told(fs::write(path, text))
    }

    fn append(path: String, text: String) -> Result<(), String> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        told(file.and_then(|mut file| file.write_all(text.as_bytes())))
    }

    fn entries(path: String) -> Result<Vec<String>, String> {
        let names = fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<_>>()
        });
        let mut names: Vec<String> = told(names)?;
        names.sort();
        Ok(names)
    }

    fn stat(path: String) -> Result<String, String> {
        let metadata = told(fs::metadata(path))?;
        Ok(if metadata.is_file() {
            format!("file {}", metadata.len())
        } else if metadata.is_dir() {
            "directory".to_owned()
        } else {
            "other".to_owned()
        })
    }

    fn make_directory(path: String) -> Result<(), String> {
        told(fs::create_dir(path))
    }

    fn remove(path: String) -> Result<(), String> {
        told(fs::remove_file(path))
    }

    fn remove_directory(path: String) -> Result<(), String> {
        told(fs::remove_dir(path))
    }

    fn rename(old: String, new: String) -> Result<(), String> {
        told(fs::rename(old, new))
    }

    fn link(original: String, link: String) -> Result<(), String> {
        told(fs::hard_link(original, link))
    }

    fn read_link(path: String) -> Result<String, String> {
        told(fs::read_link(path)).map(|target| target.to_string_lossy().into_owned())
    }

    fn hold_open(path: String, n: u32) -> Result<u32, String> {
        let files: Vec<File> = told((0..n).map(|_| File::open(&path)).collect::<io::Result<_>>())?;
        Ok(black_box(files).len() as u32)
    }

    fn variables() -> Vec<(String, String)> {
        let mut variables: Vec<_> = std::env::vars().collect();
        variables.sort();
        variables
    }

    fn arguments() -> Vec<String> {
        std::env::args().collect()
    }

    fn input() -> Result<Vec<u8>, String> {
        let mut input = Vec::new();
        told(io::stdin().read_to_end(&mut input))?;
        Ok(input)
    }

    fn connect(address: String) -> Result<(), String> {
        told(TcpStream::connect(address)).map(drop)
    }

    fn listen(address: String) -> Result<(), String> {
        told(TcpListener::bind(address)).map(drop)
    }

    fn send(address: String) -> Result<(), String> {
        let socket = told(UdpSocket::bind("0.0.0.0:0"))?;
        told(socket.send_to(b"hello", address)).map(drop)
    }

    fn exchange(address: String, text: String) -> Result<String, String> {
        let mut stream = told(TcpStream::connect(address))?;
        told(stream.write_all(text.as_bytes()))?;
        told(stream.shutdown(Shutdown::Write))?;
        told(io::read_to_string(stream))
    }

    fn ask(address: String, text: String) -> Result<String, String> {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = told(UdpSocket::bind(any))?;
        told(socket.send_to(text.as_bytes(), address))?;
        let mut answer = [0; 1000];
        let (length, _) = told(socket.recv_from(&mut answer))?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    fn resolve(name: String) -> Result<Vec<String>, String> {
        let addresses = told((name.as_str(), 80).to_socket_addrs())?;
        Ok(addresses.map(|address| address.ip().to_string()).collect())
    }

    fn clocks() -> Vec<u64> {
        let (first, second) = (monotonic_clock::now(), monotonic_clock::now());
        let wall = wall_clock::now();
        vec![first, second, monotonic_clock::resolution(), wall.seconds, wall.nanoseconds.into()]
    }

    fn sleep(ms: u64) -> u64 {
        let start = monotonic_clock::now();
        std::thread::sleep(Duration::from_millis(ms));
        monotonic_clock::now() - start
    }

    fn random(n: u64) -> Vec<u8> {
        random::get_random_bytes(n)
    }

    fn insecure_random(n: u64) -> Vec<u8> {
        insecure::get_insecure_random_bytes(n)
    }

    fn seed() -> (u64, u64) {
        insecure_seed::insecure_seed()
    }

    fn map_order() -> Vec<String> {
        let map: HashMap<String, ()> = (0..10).map(|key| (format!("key {key}"), ())).collect();
        map.into_keys().collect()
    }

    fn nan_bits() -> (u32, u64) {
        let single = black_box(0.0_f32) / black_box(0.0);
        let double = black_box(0.0_f64) / black_box(0.0);
        (single.to_bits(), double.to_bits())
    }
}

fn told<T>(result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{:?}: {error}", error.kind()))
}

export!(Component);
