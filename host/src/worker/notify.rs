//! What a worker tells the service manager that started it, as sd_notify(3) has it. Without one, nothing
//! is told.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Why the service manager cannot be told anything.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The variable does not say where.
    #[error("NOTIFY_SOCKET is `{0}`, which is neither an absolute path nor a name after `@`")]
    Address(String),
    /// There is nothing to send with.
    #[error("the service manager cannot be told that the worker is ready: {0}")]
    Socket(#[from] io::Error),
}

/// Where the service manager listens, if there is one.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    ///
    /// # Errors
    /// Fails where a service manager is named that cannot be reached in that way.
    pub fn from_environment() -> Result<Self, NotifyError> {
        let text = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let watchdog = text("WATCHDOG_USEC").filter(|_| ours);
        Self::new(text("NOTIFY_SOCKET").as_deref(), watchdog.as_deref())
    }

    fn new(address: Option<&str>, watchdog: Option<&str>) -> Result<Self, NotifyError> {
        let address = match address {
            None | Some("") => return Ok(Self { socket: None, watchdog: None }),
            Some(address) => address,
        };
        let to = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => return Err(NotifyError::Address(address.chars().take(200).collect())),
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that is busy must not hold the worker up.
        socket.set_nonblocking(true)?;
        let micros = watchdog.and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        Ok(Self { socket: Some((socket, to)), watchdog: micros.map(Duration::from_micros) })
    }

    /// The worker does its work.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// It takes nothing more, and ends soon.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// What it does, in one line for people.
    pub fn status(&self, text: &str) {
        let line: String = text.chars().filter(|char| !char.is_control()).take(500).collect();
        self.send(&format!("STATUS={line}"));
    }

    /// It is alive. Asked for by [`Self::beat`].
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// How often to say that the worker is alive, where the service manager asks for it: twice in the time
    /// after which it would be taken for stuck.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.watchdog.map(|time| time / 2)
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    fn send(&self, text: &str) {
        if let Some((socket, to)) = &self.socket {
            // A service manager that is gone, or busy, does not stop the work.
            let _ = socket.send_to_addr(text.as_bytes(), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_told_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("flowhost-test-{}", std::process::id());
        let hidden = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&hidden).unwrap(), format!("@{name}")),
        ] {
            let notify = Notify::new(Some(&address), Some("3000000")).unwrap();
            assert_eq!(notify.beat(), Some(Duration::from_millis(1500)));
            notify.ready();
            notify.status("two\nlines");
            notify.alive();
            notify.stopping();
            let told: Vec<String> = (0..4).map(|_| said(&socket)).collect();
            assert_eq!(told, ["READY=1", "STATUS=twolines", "WATCHDOG=1", "STOPPING=1"]);
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_told_and_nothing_fails() {
        for address in [None, Some("")] {
            let notify = Notify::new(address, Some("3000000")).unwrap();
            assert!(!notify.is_heard() && notify.beat().is_none());
            notify.ready();
        }
        let gone = Notify::new(Some("/nowhere/notify"), Some("no number")).unwrap();
        assert_eq!(gone.beat(), None);
        gone.ready();
        for wrong in ["vsock:2:1234", "relative/notify"] {
            let error = Notify::new(Some(wrong), None).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
