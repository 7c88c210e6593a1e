//! Tests of the floor as a whole: files on disk, components made from WIT.

mod broken;
mod executors;
mod hostile;
mod joins;
mod literals;
mod nesting;
mod policies;
mod ssh;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::digest::Digest;

use super::{Loaded, Options, Problems, Purpose, Trust, load};

const TEXT: &str = "
    package test:text@0.1.0;
    interface stats {
        record counts { total: u64, words: list<tuple<string, u32>>, best: option<string> }
        enum mode { fast, exact }
        variant shape { dot, circle(u32) }
        flags marks { bold, italic }
        record options { mode: mode, scale: f32, shape: shape, marks: marks, note: option<string> }
        split: func(text: string, parts: u32) -> list<string>;
        count-words: func(text: string) -> result<counts, string>;
        merge-counts: func(parts: list<counts>) -> counts;
        render: func(tile: u32, options: options) -> list<u8>;
        join: func(tiles: list<list<u8>>) -> list<u8>;
        place: func(index: u64, name: string, pair: tuple<u8, s16>, letter: char) -> string;
        ready: func() -> bool;
    }
    world text { export stats; }
";
const COMMAND: &str = "
    package wasi:cli@0.2.0;
    interface run { run: func() -> result; }
    world command { export run; }
";
const FETCHING: &str = "
    package test:fetching@0.1.0;
    interface fetch { get: func(url: string) -> string; }
    world fetching { import fetch; export go: func() -> string; }
";

/// A component of the world that `wit` ends with, whose functions trap.
pub(super) fn component(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A folder with components, in a folder of its own so that there is an outside.
pub(super) struct Project {
    outside: tempfile::TempDir,
    pub(super) folder: PathBuf,
}

impl Project {
    pub(super) fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().canonicalize().unwrap().join("project");
        for directory in ["data", "out", "guest/src"] {
            std::fs::create_dir_all(folder.join(directory)).unwrap();
        }
        let project = Self { outside, folder };
        project.write("text.wasm", component(TEXT));
        project.write("command.wasm", component(COMMAND));
        project.write("guest/Cargo.toml", "");
        project.write("data/alice.txt", "Alice");
        project
    }

    /// Nothing but an empty folder.
    pub(super) fn bare() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().canonicalize().unwrap().join("project");
        std::fs::create_dir_all(&folder).unwrap();
        Self { outside, folder }
    }

    /// A folder with one component, which is made once for all.
    pub(super) fn shared() -> Self {
        static TEXT_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| component(TEXT));
        let project = Self::bare();
        std::fs::create_dir_all(project.folder.join("out")).unwrap();
        project.write("text.wasm", &*TEXT_BYTES);
        project
    }

    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.folder.join(path), bytes).unwrap();
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("workflow.toml")
    }

    pub(super) fn options(&self) -> Options<'static> {
        Options {
            root: None,
            inputs: Vec::new(),
            executors: Vec::new(),
            concurrency: None,
            current: self.folder.clone(),
            environment: &|name| (name == "TOKEN").then(|| "secret".to_owned()),
            trust: Trust::Full,
            state_dir: None,
            redis: None,
            plain_secrets: false,
            purpose: Purpose::Run,
            recorded: None,
        }
    }

    pub(super) fn load(&self, source: &str) -> Result<Loaded, Problems> {
        self.load_with(source, |_| {})
    }

    pub(super) fn load_with(
        &self,
        source: &str,
        change: impl FnOnce(&mut Options<'static>),
    ) -> Result<Loaded, Problems> {
        self.write("workflow.toml", source);
        let mut options = self.options();
        change(&mut options);
        load(&self.path(), &options)
    }

    /// What people see, with the places of this machine taken out.
    pub(super) fn shown(&self, problems: &Problems) -> String {
        let folder = self.folder.display().to_string();
        let outside = self.outside.path().canonicalize().unwrap().display().to_string();
        let digest = Digest::of(&component(TEXT)).to_string();
        let shown = problems.to_string().replace(&digest, "sha256:DIGEST-OF-THE-FILE");
        shown.replace(&format!("{folder}/"), "").replace(&outside, "/home/me")
    }

    pub(super) fn broken(&self, source: &str) -> String {
        match self.load(source) {
            Ok(_) => panic!("this should have been refused:\n{source}"),
            Err(problems) => self.shown(&problems),
        }
    }
}

/// A workflow that is right, for tests to spoil.
pub(super) const RIGHT: &str = r#"
[components]
text = "text.wasm"

[tasks.split]
run = "text#split"
with = { text = "Alice was beginning", parts = 4 }

[tasks.count]
run = "text#count-words"
with = { text = "${item}" }

[groups.counts]
task = "count"
for-each = "${split}"

[tasks.total]
run = "text#merge-counts"
with = { parts = "${counts}" }

[outputs]
total = "${total.total}"
"#;

#[test]
fn a_right_workflow_is_right() {
    let project = Project::new();
    let loaded = project.load(RIGHT).unwrap_or_else(|problems| panic!("{problems}"));
    let names: Vec<_> = loaded.workflow.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["split", "counts", "total"]);
    assert_eq!(&*loaded.workflow.name, "workflow");
    assert!(Path::new(&loaded.workflow.root).is_absolute());
}
