//! Celery, as people use it who have tasks and a Redis: two processes, tasks that do nothing, results in Redis.
//! Its settings are in `celery_app.py`, its versions in `requirements.txt`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::server::Server;

/// Where its files are.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fleet")
}

/// An environment with Celery in it, below the build folder, made once. Why there is none, if so.
fn environment() -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_BIN_EXE_flowhost"));
    let folder = program.with_file_name("bench-celery");
    let wanted = std::fs::read(here().join("requirements.txt")).unwrap();
    let mark = folder.join("requirements.txt");
    if std::fs::read(&mark).ok().as_deref() != Some(&wanted) {
        let _ = std::fs::remove_dir_all(&folder);
        let did = |command: &mut Command| match command.stdout(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{command:?}: {status}")),
            Err(error) => Err(format!("{command:?}: {error}")),
        };
        did(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(folder.join("bin/pip"));
        did(install.args(["install", "--quiet", "--requirement"]).arg(here().join("requirements.txt")))?;
        std::fs::write(mark, wanted).unwrap();
    }
    Ok(folder.join("bin"))
}

/// Its worker, with two processes that execute tasks.
pub(crate) struct Celery {
    worker: Child,
    programs: PathBuf,
    url: String,
}

impl Celery {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(server: &Server) -> Result<Self, String> {
        let programs = environment()?;
        let url = server.url();
        let mut command = Command::new(programs.join("celery"));
        command.args(["--app", "celery_app", "worker", "--pool", "prefork", "--concurrency", "2"]);
        command.args(["--loglevel", "info", "--without-gossip", "--without-mingle", "--without-heartbeat"]);
        command.current_dir(here()).env("BENCH_REDIS", &url).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut worker = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("ready.")) {
            return Err("the Celery worker did not start".to_owned());
        }
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { worker, programs, url })
    }

    /// Submits a group of so many tasks and collects its results. Seconds from the first submission to the
    /// last result, by its own clock: the start of Python is not in it.
    pub(crate) fn run(&self, tasks: usize) -> f64 {
        let mut command = Command::new(self.programs.join("python"));
        command.args(["celery_app.py", &tasks.to_string()]).current_dir(here());
        command.env("BENCH_REDIS", &self.url).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Celery {
    fn drop(&mut self) {
        // Its processes end with it when it is asked to.
        let pid = rustix::process::Pid::from_child(&self.worker);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.worker.wait();
    }
}
