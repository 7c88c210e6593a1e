//! The table: a workflow in each row, how it ends, and what must be told of it for the row to show
//! anything. A row that holds on one executor holds on all.

mod calls;
mod runs;

/// A workflow that comes to the same on every executor.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The exit code.
    pub(super) code: i32,
    /// Parts of what is told or yielded.
    pub(super) holds: &'static [&'static str],
    /// Fields that two runs on one executor need not have alike: of which task or group, which, and why.
    pub(super) chance: &'static [(&'static str, &'static str, &'static str)],
    /// Without components: they follow from what is run. `{TCP}` and `{HTTP}` are servers, and
    /// `{OUTSIDE}` is a folder that nothing grants.
    pub(super) toml: &'static str,
}

const STOPPED: &str = "where a guest is stopped is chance";
const BEGUN: &str = "whether a branch had begun when it was cancelled is chance";

/// A component whose one function takes a handle.
pub(super) const HANDLES: &str = r#"
    (component
        (core module $code (func (export "take") (param i32)))
        (core instance $made (instantiate $code))
        (type $thing (resource (rep i32)))
        (export $exported "thing" (type $thing))
        (func $take (param "thing" (own $exported)) (canon lift (core func $made "take")))
        (export "take" (func $take)))
"#;

/// What is slow enough to be killed in.
pub(super) const LONG: &str = r#"
    [tasks.number]
    run = "echo#add"
    with = { a = "${item}", b = 0 }
    [groups.numbers]
    task = "number"
    for-each = { range = [0, 300] }
    rate-limit = "150/s"
    [tasks.sum]
    run = "echo#sum"
    with = { values = "${numbers}" }
    [tasks.try]
    run = "failing#flaky"
    with = { until-attempt = 2 }
    retry = { max-attempts = 2, delay = "100ms" }
    [groups.tries]
    task = "try"
    for-each = { range = [0, 6] }
    [outputs]
    sum = "${sum}"
    tries = "${tries}"
"#;

pub(super) const ROWS: [&[Row]; 2] = [calls::ROWS, runs::ROWS];
