//! Whatever stands in a file, reading it ends, quickly, and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Project, RIGHT};
use crate::manifest::{Place, builds, load};

#[test]
fn w1_64_mib_are_refused_at_once() {
    let project = Project::new();
    let file = std::fs::File::create(project.path()).unwrap();
    file.set_len(64 << 20).unwrap();
    let start = Instant::now();
    let problems = load(&project.path(), &project.options()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(problems.to_string().contains("is larger than 8 MiB"), "{problems}");
    assert_eq!(builds(&project.path()).unwrap_err(), problems);
}

#[test]
fn w1_what_is_endless_or_waits_is_no_file() {
    let project = Project::new();
    for path in ["/dev/zero", "/dev/null"] {
        let problems = load(path.as_ref(), &project.options()).unwrap_err();
        assert!(problems.to_string().contains("not a regular file"), "{problems}");
    }
}

/// Large files that could take time in the square of their size.
#[test]
fn w1_large_files_take_no_longer_than_they_have_to() {
    let project = Project::new();
    let head = "[components]\ntext = \"text.wasm\"\n[tasks.a]\nrun = \"text#split\"\n";
    let many = 50_000;
    let members: String = (0..many).map(|at| format!("\"m{at}\",")).collect();
    let aliases: String = (0..many / 10).map(|at| format!("c{at} = \"none.wasm\"\n")).collect();
    let strangers: String = (0..many).map(|at| format!("[tasks.s{at}]\nrun = \"d{at}#x\"\n")).collect();
    let uses: String = (0..many).map(|at| format!("${{item.a{at}}}")).collect();
    let keys: String = (0..many).map(|at| format!("k{at} = 1\n")).collect();
    let tasks: String = (0..many)
        .map(|at| format!("[tasks.t{at}]\nrun = \"text#redy\"\nafter = [\"t{}\"]\n", at + 1))
        .collect();
    let starts = |next: &dyn Fn(usize) -> usize| -> String {
        let task =
            |at: usize| format!("[tasks.t{at}]\nrun = \"text#redy\"\nmay-start = [\"t{}\"]\n", next(at));
        (0..many).map(task).collect()
    };
    let inner: String = (0..many / 2)
        .map(|at| {
            format!(
                "[tasks.s{at}]\nrun = \"a\"\nmay-start = [\"t{at}\"]\n[groups.g{at}]\ntask = \"s{at}\"\nfor-each = [1]\n"
            )
        })
        .collect();
    let listed: String = (0..many / 2).map(|at| format!("\"g{at}\",")).collect();
    for source in [
        format!(
            "{head}with = {{ text = \"{uses}\", parts = 1 }}\n[groups.g]\ntask = \"a\"\nfor-each = [{}]\n",
            "{},".repeat(many)
        ),
        format!("{head}with = {{ text = \"{}\", parts = 1 }}\n", "${b}".repeat(5 * many)),
        format!("{head}{keys}"),
        keys.clone(),
        format!("{head}with = {{ text = \"\", parts = 1 }}\n[groups.g]\ntasks = [{members}]\n"),
        format!("[components]\n{aliases}{strangers}"),
        format!("{head}{tasks}"),
        format!("{head}[groups.g]\ntasks = [{}]\n", "\"a\",".repeat(many)),
        format!("{head}[executors.x]\nkind = \"ssh\"\nnodes = [{}]\n", "\"a\",".repeat(1000)),
        format!("{head}[executors.x]\nkind = \"ssh\"\nnodes = [\"a\"]\noptions = [{members}]\n"),
        format!("{head}[executors.x]\nkind = \"ssh\"\nnodes = [\"{}\"]\n", "a@".repeat(1 << 20)),
        format!("{head}with = {{ text = \"{}\" }}", "é".repeat(1 << 20)),
        format!(
            "{head}[groups.g]\ntask = \"a\"\nfor-each = {{ matrix = {{ {} }} }}\n",
            (0..many).map(|at| format!("a{at} = [1],")).collect::<String>()
        ),
        // Tasks that start each other one after the other, in a circle, and from groups inside each other.
        format!("{head}{}", starts(&|at| at + 1)),
        format!("{head}{}", starts(&|at| (at + 1) % many)),
        format!("{head}{}{inner}[groups.outer]\ntasks = [{listed}]\n", starts(&|at| at + 1)),
    ] {
        let before = processor_time();
        let problems = project.load(&source).unwrap_err();
        let shown = problems.to_string();
        let took = processor_time() - before;
        assert!(took < Duration::from_secs(10), "{took:?}: {}", &shown[..200]);
        assert!(problems.list.len() <= 100);
    }
}

/// How long this thread was executed so far, whatever else the machine does (Documentation/scheduler/sched-stats.rst).
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split_whitespace().next().unwrap().parse().unwrap())
}

/// Each problem says where it is, and shows.
fn sound(project: &Project, source: &str) {
    let Err(problems) = project.load(source) else { return };
    assert!(!problems.list.is_empty());
    assert!(!problems.to_string().is_empty());
    for problem in &problems.list {
        assert!(!problem.message.is_empty());
        if let Place::At(span) = problem.place {
            assert!(span.start <= span.end && span.end <= source.len(), "{problem:?}");
        }
    }
}

/// Pieces of workflow files, to be put where they do not belong.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "${",
    "}",
    "${item}",
    "${split}",
    "${total.total}",
    "${inputs.x}",
    "[tasks.count]\n",
    "[groups.counts]\n",
    "[[tasks.count]]\n",
    "[components]\n",
    "[inputs]\nx = { type = \"u8\" }\n",
    "run = \"text#split\"\n",
    "for-each = { range = [0, 9] }\n",
    "with = { parts = 99999999999999999999 }\n",
    "when = false\n",
    "tasks = [\"count\", \"split\"]\n",
    "after = [\"total\"]\n",
    "grants = { write = [\"out\"] }\n",
    "inf",
    "1e999",
    "0x7f",
    "1979-05-27",
    "\u{0}",
    "\u{1b}[31m",
    "é",
    "界",
    "\\u0000",
    "{ file = \"../x\" }",
    "\r\n",
    "\"\"\"",
    "a.b.c = 1\n",
    "[executors.x]\nkind = \"ssh\"\n",
    "nodes = [\"me@[::1]:22\", { address = \"a\" }]\n",
    "options = [\"ProxyJump=a,:@:\"]\n",
    "-",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn w1_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let project = Project::bare();
        std::fs::write(project.path(), &bytes).unwrap();
        let _ = builds(&project.path());
        prop_assert!(load(&project.path(), &project.options()).is_err());
    }

    #[test]
    fn w1_pieces_never_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let source: String = pieces.iter().map(|at| PIECES[*at]).collect();
        sound(&Project::bare(), &source);
    }

    #[test]
    fn w1_spoilt_workflows_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..30usize, 0..PIECES.len()), 1..6),
    ) {
        let mut source = RIGHT.to_owned();
        for (at, length, piece) in changes {
            let start = source.floor_char_boundary(at.index(source.len()));
            let end = source.floor_char_boundary((start + length).min(source.len()));
            source.replace_range(start..end, PIECES[piece]);
        }
        sound(&Project::shared(), &source);
    }
}

/// Dotted keys inside inline tables nest deeper than either alone.
#[test]
fn w1_dotted_keys_in_inline_tables_nest_no_deeper_than_the_stack() {
    let project = Project::bare();
    let dotted = format!("a{}", ".a".repeat(78));
    let open = format!("{{ {dotted} = ").repeat(78);
    let source = format!("[{dotted}]\n{dotted} = {open} 1 {}", "}".repeat(78));
    let problems = project.load(&source).unwrap_err();
    assert!(problems.to_string().contains("levels"), "{problems}");
}
