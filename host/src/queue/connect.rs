//! Where a Redis is, and connections to it: one server or a cluster, plain or by TLS. Says what is wrong with
//! a server that would lose what is queued. Never shows the password in its URL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, InfoDict,
    IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, TlsCertificates,
    Value,
};

use crate::names::{NoLookups, may_use};

/// How long a server may take to answer, and to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a command waits in the server for something to come, in milliseconds.
pub const BLOCK: u64 = 5000;

/// The oldest server that has all commands.
const OLDEST: (u32, u32) = (7, 0);

/// A Redis, and how it is reached.
#[derive(Clone)]
pub struct Server {
    kind: Kind,
    shown: String,
}

#[derive(Clone)]
enum Kind {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Why a Redis is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL makes no sense.
    #[error(
        "the URL of Redis cannot be used: {0}; it is written redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], \
         rediss://… for TLS, or unix://PATH"
    )]
    Url(&'static str),
    /// The file with the certificate authority cannot be read.
    #[error("cannot read the certificate authority `{}`: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody answers, or not as Redis does.
    #[error("Redis at {shown} cannot be reached: {source}{}", hint(source))]
    Unreachable {
        /// Where, without the password.
        shown: String,
        /// Why.
        source: RedisError,
    },
    /// The server cannot be used.
    #[error("Redis at {shown} cannot be used: {reason}")]
    Unfit {
        /// Where, without the password.
        shown: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// What to do about an error while connecting.
fn hint(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "; the user or password in its URL is wrong",
        ErrorKind::Io if error.is_connection_refusal() => "; is it running?",
        _ => "",
    }
}

/// What to do about an error that lasts, if more than to wait; for people.
#[must_use]
pub fn advice(error: &RedisError) -> &'static str {
    match (error.code(), error.kind()) {
        (Some("OOM"), _) => "; it is out of memory: raise `maxmemory`, or remove what others keep there",
        (Some("MISCONF"), _) => "; it cannot write to its disk: make room there",
        (_, ErrorKind::Server(ServerErrorKind::ReadOnly)) => {
            "; it is a replica: give the master's address, or promote it"
        }
        (_, ErrorKind::AuthenticationFailed) => "; the user or password in its URL is wrong",
        (_, ErrorKind::Server(ServerErrorKind::NoPerm)) => "; its access rules keep this user from it",
        _ => "",
    }
}

impl Server {
    /// Finds out what is at `url`, and whether it can be used. `authority` is a PEM file with the
    /// certificates that are trusted in place of the system's. Besides, what people should be warned of.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when it cannot be reached, is older than 7.0, evicts any key when it is full, is a replica or
    /// a Sentinel.
    pub async fn open(url: &str, authority: Option<&Path>) -> Result<(Self, Vec<String>), ConnectError> {
        let url = url.strip_prefix("redis+").filter(|rest| rest.starts_with("unix:")).unwrap_or(url);
        let info = url.into_connection_info().map_err(|error| ConnectError::Url(plain(&error)))?;
        // Who looks for a server that is silently gone finds out in less than the time of a lease.
        let alive =
            TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(PATIENCE).with_retries(3);
        let tcp = TcpSettings::default().set_keepalive(alive).set_nodelay(true);
        let info = info.set_tcp_settings(tcp);
        let shown = shown(&info);
        let unreachable = |source| ConnectError::Unreachable { shown: shown.clone(), source };
        match info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
                let unfit = |error: NoLookups| ConnectError::Unfit {
                    shown: shown.clone(),
                    reason: error.to_string(),
                };
                may_use(host).map_err(unfit)?;
            }
            _ => {}
        }
        let root_cert = authority.map(|path| {
            let source = |source| ConnectError::Authority { path: path.to_owned(), source };
            std::fs::read(path).map_err(source)
        });
        let root_cert = root_cert.transpose()?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if tls {
            // Somebody else in this process may have chosen one.
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        }
        let certificates = TlsCertificates { client_tls: None, root_cert };
        let client = match tls {
            true => Client::build_with_tls(info.clone(), certificates.clone()),
            false => Client::open(info.clone()),
        };
        let client = client.map_err(unreachable)?;
        let one = Self { kind: Kind::One(Box::new(client)), shown: shown.clone() };
        let mut link = one.link().await.map_err(unreachable)?;
        let found: InfoDict =
            redis::cmd("INFO").arg("everything").query_async(&mut link).await.map_err(unreachable)?;
        let cluster = found.get::<u8>("cluster_enabled") == Some(1);
        let warnings = fitness(&found, cluster)
            .map_err(|reason| ConnectError::Unfit { shown: shown.clone(), reason })?;
        if !cluster {
            return Ok((one, warnings));
        }
        let mut builder = ClusterClient::builder([info])
            .connection_timeout(PATIENCE)
            .response_timeout(Duration::from_millis(BLOCK) + PATIENCE);
        if tls {
            builder = builder.certs(certificates);
        }
        let client = builder.build().map_err(unreachable)?;
        Ok((Self { kind: Kind::Cluster(Box::new(client)), shown }, warnings))
    }

    /// Where it is, without user and password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether streams of two queues may be on two servers.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    /// A connection for commands that are answered at once.
    ///
    /// # Errors
    /// Fails when the server does not answer.
    pub async fn link(&self) -> RedisResult<Link> {
        self.connect(PATIENCE).await
    }

    /// A connection for commands that wait for up to [`BLOCK`] milliseconds.
    ///
    /// # Errors
    /// As [`Server::link`].
    pub async fn waiting_link(&self) -> RedisResult<Link> {
        self.connect(Duration::from_millis(BLOCK) + PATIENCE).await
    }

    async fn connect(&self, patience: Duration) -> RedisResult<Link> {
        match &self.kind {
            Kind::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(patience));
                client.get_multiplexed_async_connection_with_config(&config).await.map(Link::One)
            }
            Kind::Cluster(client) => {
                client.get_async_connection().await.map(|connection| Link::Cluster(Box::new(connection)))
            }
        }
    }
}

/// What is wrong in words that show nothing of the URL.
fn plain(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidClientConfig => "a part of it is not what it should be",
        _ => "it is no URL of a Redis",
    }
}

fn shown(info: &ConnectionInfo) -> String {
    let database = match info.redis_settings().db() {
        0 => String::new(),
        database => format!("/{database}"),
    };
    match info.addr() {
        ConnectionAddr::Unix(path) => path.display().to_string(),
        address => format!("{address}{database}"),
    }
}

/// What people should be warned of, or why the server cannot be used.
fn fitness(found: &InfoDict, cluster: bool) -> Result<Vec<String>, String> {
    let text = |key| found.get::<String>(key).unwrap_or_default();
    if text("redis_mode") == "sentinel" {
        return Err(
            "it is a Sentinel, which keeps no data: give the address of the master that it watches".into()
        );
    }
    let version = text("redis_version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let parts = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if parts < OLDEST {
        return Err(format!(
            "it is version {version}, and what is queued needs {}.{} or newer",
            OLDEST.0, OLDEST.1
        ));
    }
    if text("role") == "slave" && !cluster {
        let master = format!("{}:{}", text("master_host"), text("master_port"));
        return Err(format!("it is a replica of {master}: give the master's address, or promote it"));
    }
    let policy = text("maxmemory_policy");
    if policy.starts_with("allkeys-") {
        return Err(format!(
            "it removes any key when it is full (maxmemory-policy {policy}), queued tasks too: set it to noeviction"
        ));
    }
    let mut warnings = Vec::new();
    if policy.starts_with("volatile-") {
        warnings.push(format!(
            "Redis removes keys that expire when it is full (maxmemory-policy {policy}), among them those of runs: \
             set it to noeviction"
        ));
    }
    let appends = found.get::<u8>("aof_enabled") == Some(1);
    if !appends {
        warnings.push(
            "Redis does not write down what is queued as it comes (appendonly is off): what is in it is lost when it \
             ends, and runs then execute it again"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// A connection. Clones share it.
#[derive(Clone)]
pub enum Link {
    /// To one server.
    One(MultiplexedConnection),
    /// To a cluster.
    Cluster(Box<ClusterConnection>),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
