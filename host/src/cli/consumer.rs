//! `flowhost worker --redis URL`: a worker that takes attempts from queues on Redis until it is asked to
//! stop.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::{error, say};
use super::redis::{Server, checked, name};
use super::tracing::finish;
use crate::manifest::{UnitError, duration};
use crate::names::may_use;
use crate::report::Exporter;
use crate::runtime::{Runtime, Settings};
use crate::worker::{
    Ceiling, ConsumerSettings, Figures, Format, Level, Log, Notify, Stopping, consume, serve_figures,
};

/// Bounds of a lease. What is shorter is lost to a busy machine, what is longer to a dead one.
const LEASES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// How often the service manager is told how the worker stands.
const STATUS: Duration = Duration::from_secs(10);

/// How often it is said at most that spans are lost.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What holds for a worker wherever its attempts come from.
pub(super) struct Machine {
    /// The most that attempts are granted.
    pub(super) ceiling: Ceiling,
    /// Where components and compiled code are; none is in the user's cache folder.
    pub(super) workdir: Option<PathBuf>,
    /// Bytes of components that are kept at most.
    pub(super) store_max: u64,
    /// How long one component may take to compile.
    pub(super) compile_timeout: Duration,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With --redis")]
pub(super) struct Consumer {
    /// Take attempts from the queue on this server: redis://USER:PASSWORD@HOST:PORT/DATABASE, all but HOST optional, or rediss:// with TLS
    #[arg(long, value_name = "URL", env = "FLOWHOST_REDIS", hide_env_values = true)]
    pub(super) redis: Option<String>,
    /// The queue to serve. Repeatable; the first that has something is served first
    #[arg(long, value_name = "NAME", default_value = "default", env = "FLOWHOST_QUEUE", value_delimiter = ',', value_parser = name)]
    queue: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// Attempts that execute at once [default: as many as the machine has cores]
    #[arg(long, value_name = "N", env = "FLOWHOST_CONCURRENCY", value_parser = concurrency)]
    concurrency: Option<NonZeroU16>,
    /// What the worker is called. It adds its process and something random [default: the host's name]
    #[arg(long, value_name = "NAME", env = "FLOWHOST_ID", value_parser = name)]
    id: Option<String>,
    /// After so long without a sign of life, from 1s to 1h, what the worker has goes to another
    #[arg(long, value_name = "DURATION", default_value = "30s", env = "FLOWHOST_LEASE", value_parser = lease)]
    lease: Duration,
    /// Asked to stop, wait so long for what executes
    #[arg(long, value_name = "DURATION", default_value = "30s", env = "FLOWHOST_DRAIN", value_parser = duration)]
    drain: Duration,
    /// The secret that attempts and outcomes are signed with. The variable is safer: flags are seen by every process
    #[arg(long, value_name = "SECRET", env = "FLOWHOST_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Serve /metrics and /healthz at this address: 127.0.0.1:9464. Whoever reaches it may read them
    #[arg(long, value_name = "ADDR", env = "FLOWHOST_METRICS")]
    metrics: Option<String>,
    /// How the worker writes what it says on standard error
    #[arg(long, value_name = "FORMAT", default_value = "plain", env = "FLOWHOST_LOG", value_enum)]
    log: Format,
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text).map_err(|wrong: UnitError| wrong.to_string())?;
    match LEASES.contains(&lease) {
        true => Ok(lease),
        false => Err("a lease is from 1s to 1h".to_owned()),
    }
}

fn concurrency(text: &str) -> Result<NonZeroU16, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU16| number.get() <= 4096);
    number.ok_or_else(|| "it is a whole number from 1 to 4096".to_owned())
}

/// The host's name, as far as it can be part of a key.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |char: char| if char.is_ascii_alphanumeric() || ".-_".contains(char) { char } else { '-' };
    let name: String = name.trim().chars().take(64).map(plain).collect();
    if name.is_empty() { "worker".to_owned() } else { name }
}

impl Consumer {
    pub(super) fn execute(self, url: &str, machine: Machine) -> Exit {
        let threads = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(threads) => threads,
            Err(failure) => {
                say(&format!("error: flowhost cannot start its threads: {failure}"));
                return Exit::Internal;
            }
        };
        let work = async { self.work(url, machine).await.unwrap_or_else(|exit| exit) };
        let exit = threads.block_on(work);
        // What still executes is not waited for.
        threads.shutdown_background();
        exit
    }

    async fn work(self, url: &str, machine: Machine) -> Result<Exit, Exit> {
        let url = checked(url, &self.server)?;
        if let Some(twice) = twice(&self.queue) {
            say(&format!("error: --queue (FLOWHOST_QUEUE) names `{twice}` twice"));
            return Err(Exit::Usage);
        }
        if self.key.as_deref() == Some("") {
            say("error: --key (FLOWHOST_KEY) is empty, which is no secret");
            return Err(Exit::Usage);
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = self.concurrency.map_or_else(cores, |number| usize::from(number.get()));
        let log = Arc::new(Log::new(self.log));
        let figures = Arc::new(Figures::new(self.lease));
        let notify = Notify::from_environment().map_err(|failure| {
            error(&failure);
            Exit::Usage
        })?;
        if let Some(address) = &self.metrics {
            let listener = listen(address, &log).await?;
            tokio::spawn(serve_figures(listener, Arc::clone(&figures)));
        }
        let runtime = Runtime::new(Settings {
            program: super::host::program(),
            cache_dir: machine.workdir.as_ref().map(|workdir| workdir.join("code")),
            compile_timeout: machine.compile_timeout,
            slots: Some(concurrency),
            ..Settings::default()
        });
        let runtime = runtime.map_err(|failure| {
            error(&failure);
            Exit::Internal
        })?;
        let (asks, stops) = watch::channel(Stopping::No);
        let (exits, exit) = watch::channel(Exit::Succeeded);
        let signals = follow(asks, exits, Arc::clone(&log)).map_err(|failure| {
            say(&format!("error: flowhost cannot listen for signals: {failure}"));
            Exit::Internal
        })?;
        let exporter = exporter(&log);
        let telling = tokio::spawn(tell(notify, Arc::clone(&figures), stops.clone()));
        let complaining = exporter.clone().map(|exporter| tokio::spawn(complain(exporter, Arc::clone(&log))));
        let settings = ConsumerSettings {
            url,
            ca: self.server.ca,
            key: self.key.map(Arc::from),
            prefix: self.server.prefix,
            queues: self.queue,
            concurrency,
            id: self.id.unwrap_or_else(host),
            lease: self.lease,
            drain: self.drain,
            workdir: machine.workdir,
            store_max: machine.store_max,
            ceiling: machine.ceiling,
            runtime,
            figures,
            log: Arc::clone(&log),
            exporter: exporter.clone(),
        };
        let worked = consume(settings, stops).await;
        signals.abort();
        telling.abort();
        if let Some(complaining) = complaining {
            complaining.abort();
        }
        if let Some(trouble) = exporter.as_deref().and_then(finish) {
            log.say(Level::Warning, "spans", &trouble, &[]);
        }
        match worked {
            Ok(()) => Ok(*exit.borrow()),
            Err(failure) => {
                error(&failure);
                Err(match (failure.is_usage(), failure.is_unreachable()) {
                    (true, _) => Exit::Usage,
                    (false, true) => Exit::Unreachable,
                    (false, false) => Exit::Internal,
                })
            }
        }
    }
}

/// Who takes spans, if the environment wants any to go anywhere.
fn exporter(log: &Log) -> Option<Arc<Exporter>> {
    Exporter::from_environment().unwrap_or_else(|failure| {
        log.say(Level::Warning, "spans", &format!("no spans are exported: {failure}"), &[]);
        None
    })
}

/// Says now and then that spans are lost.
async fn complain(exporter: Arc<Exporter>, log: Arc<Log>) {
    let mut looks = tokio::time::interval(COMPLAINT);
    loop {
        looks.tick().await;
        if let Some(trouble) = exporter.trouble() {
            log.say(Level::Warning, "spans", &trouble, &[]);
        }
    }
}

/// The first that is there twice.
fn twice(queues: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    queues.iter().find(|queue| !seen.insert(*queue))
}

async fn listen(address: &str, log: &Log) -> Result<TcpListener, Exit> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bound = match may_use(host) {
        Ok(()) => TcpListener::bind(address).await,
        Err(name) => Err(io::Error::other(name)),
    };
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    match bound {
        Ok((listener, address)) => {
            let url = format!("http://{address}/metrics");
            log.say(Level::Info, "metrics", "figures are to be had", &[("url", url)]);
            Ok(listener)
        }
        Err(failure) => {
            say(&format!("error: --metrics (FLOWHOST_METRICS): cannot listen at `{address}`: {failure}"));
            Err(Exit::Usage)
        }
    }
}

/// Passes signals on: the first asks the worker to drain, a second to stop, and is then what it exits with.
fn follow(
    asks: watch::Sender<Stopping>,
    exits: watch::Sender<Exit>,
    log: Arc<Log>,
) -> io::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        loop {
            let exit = tokio::select! {
                _ = terminate.recv() => Exit::Terminated,
                _ = interrupt.recv() => Exit::Interrupted,
                _ = hangup.recv() => Exit::Hangup,
            };
            let (next, message) = match *asks.borrow() {
                Stopping::No => (Stopping::Drain, "asked to stop: waiting for what executes"),
                Stopping::Drain | Stopping::Now => {
                    exits.send_replace(exit);
                    (Stopping::Now, "asked again: stopping what executes")
                }
            };
            log.say(Level::Info, "stopping", message, &[]);
            asks.send_replace(next);
        }
    }))
}

/// Tells the service manager, and those who read the figures, how the worker stands.
async fn tell(notify: Notify, figures: Arc<Figures>, mut stops: watch::Receiver<Stopping>) {
    tokio::select! {
        () = figures.connected() => notify.ready(),
        _ = stops.wait_for(|stopping| *stopping != Stopping::No) => {}
    }
    let mut beats = tokio::time::interval(notify.beat().unwrap_or(STATUS).min(STATUS));
    let mut draining = false;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            stopped = stops.wait_for(|stopping| *stopping != Stopping::No), if !draining => {
                draining = true;
                figures.set_draining(true);
                notify.stopping();
                if stopped.is_err() {
                    return;
                }
            }
        }
        if notify.beat().is_some() {
            notify.alive();
        }
        let (running, capacity) = figures.load();
        let reached = figures.healthy().err().map(|reason| format!("; {reason}")).unwrap_or_default();
        let doing = if draining { "draining: " } else { "" };
        notify.status(&format!("{doing}{running} of {capacity} slots execute{reached}"));
    }
}
