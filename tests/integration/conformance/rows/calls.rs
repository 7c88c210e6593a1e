//! Rows about single calls: what goes in, what comes out, what a guest may do and how it fails.

use super::{Row, STOPPED};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "numbers, texts and bytes",
        code: 0,
        holds: &[r#""f32":"-inf""#, r#""u64":18446744073709551615"#, r#""char":"🦀""#, r#""zero":-0.0"#],
        chance: &[],
        toml: r#"
            tasks.bool = { run = "echo#echo-bool", with = { value = true } }
            tasks.s8 = { run = "echo#echo-s8", with = { value = -128 } }
            tasks.u8 = { run = "echo#echo-u8", with = { value = 255 } }
            tasks.s16 = { run = "echo#echo-s16", with = { value = -32768 } }
            tasks.u16 = { run = "echo#echo-u16", with = { value = 65535 } }
            tasks.s32 = { run = "echo#echo-s32", with = { value = -2147483648 } }
            tasks.u32 = { run = "echo#echo-u32", with = { value = 4294967295 } }
            tasks.s64 = { run = "echo#echo-s64", with = { value = -9223372036854775808 } }
            tasks.u64 = { run = "echo#echo-u64", with = { value = "18446744073709551615" } }
            tasks.f32 = { run = "echo#echo-f32", with = { value = -inf } }
            tasks.f64 = { run = "echo#echo-f64", with = { value = 0.1 } }
            tasks.nan = { run = "echo#echo-f64", with = { value = nan } }
            tasks.zero = { run = "echo#echo-f64", with = { value = -0.0 } }
            tasks.char = { run = "echo#echo-char", with = { value = "🦀" } }
            tasks.string = { run = "echo#echo-string", with = { value = "tab\tquote\" \u0000 é 🦀" } }
            tasks.empty = { run = "echo#echo-string", with = { value = "" } }
            tasks.bytes = { run = "echo#echo-bytes", with = { value = { base64 = "AAH/gA==" } } }
            tasks.none = { run = "echo#nothing" }
        "#,
    },
    Row {
        name: "values that hold others",
        code: 0,
        holds: &[
            r#""options":[null,{"some":null},{"some":3}]"#,
            r#"[{"ok":1},{"err":"e"}]"#,
            r#""b31""#,
            r#""deep-winter""#,
        ],
        chance: &[],
        toml: r#"
            tasks.strings = { run = "echo#echo-strings", with = { value = ["", "a", "🦀"] } }
            tasks.no-strings = { run = "echo#echo-strings", with = { value = [] } }
            tasks.blobs = { run = "echo#echo-blobs", with = { value = [{ base64 = "" }, { base64 = "AAE=" }] } }
            tasks.longs = { run = "echo#echo-longs", with = { value = [0, 9223372036854775807] } }
            tasks.point = { run = "echo#echo-point", with = { value = { x = 1, y = -2 } } }
            tasks.person = { run = "echo#echo-person", with = { value = { full-name = "Ada", age = 36, home = { x = 1, y = -2 }, nicknames = ["a", "b"] } } }
            tasks.ageless = { run = "echo#echo-person", with = { value = { full-name = "", home = { x = 0, y = 0 }, nicknames = [] } } }
            tasks.sample = { run = "echo#echo-sample", with = { value = { name = "s", score = inf, weight = 7, tags = ["t"] } } }
            tasks.people = { run = "echo#echo-people", with = { value = [{ full-name = "B", home = { x = 3, y = 4 }, nicknames = [] }] } }
            tasks.nothing = { run = "echo#echo-shape", with = { value = "nothing" } }
            tasks.circle = { run = "echo#echo-shape", with = { value = { circle = 1.5 } } }
            tasks.polygon = { run = "echo#echo-shape", with = { value = { polygon = [{ x = 1, y = 2 }] } } }
            tasks.labelled = { run = "echo#echo-shape", with = { value = { labelled = ["l", { x = 1, y = 2 }] } } }
            tasks.season = { run = "echo#echo-season", with = { value = "deep-winter" } }
            tasks.access = { run = "echo#echo-access", with = { value = ["read", "run-as-root"] } }
            tasks.many = { run = "echo#echo-many", with = { value = ["b0", "b7", "b8", "b31"] } }
            tasks.tuple = { run = "echo#echo-tuple", with = { value = [1, "two", true] } }
            tasks.some = { run = "echo#echo-option", with = { value = "x" } }
            tasks.none = { run = "echo#echo-option" }
            tasks.nested = { run = "echo#echo-nested-option", with = { value = 3 } }
            tasks.option = { run = "echo#echo-nested-option", with = { value = "${item}" } }
            groups.options = { task = "option", for-each = { jsonl = "options.jsonl" } }
            tasks.results = { run = "echo#echo-results", with = { value = [{ ok = 1 }, { err = "e" }] } }
            tasks.bare-results = { run = "echo#echo-bare-results", with = { value = ["ok", "err"] } }
            tasks.ok = { run = "echo#echo-result", with = { value = { ok = 5 } } }
            tasks.mirror = { run = "echo#mirror", with = { point = { x = 1, y = -2147483648 } } }
        "#,
    },
    Row {
        name: "kinds of failure",
        code: 100,
        holds: &[r#"\"code\":3"#, "too-large", "never", "exited with code 1", r#""outcome":"failed""#],
        chance: &[],
        toml: r#"
            tasks.fail = { run = "failing#fail", with = { message = "no\nand \u001b[31mno" } }
            tasks.record = { run = "failing#fail-record", with = { code = 3, message = "m" } }
            tasks.enum = { run = "failing#fail-enum" }
            tasks.bare = { run = "failing#fail-bare" }
            tasks.long = { run = "failing#fail-long", with = { bytes = 300000 } }
            tasks.retryable = { run = "failing#fail-retryable", with = { message = "again" } }
            tasks.permanent = { run = "failing#fail-permanent", with = { message = "never" } }
            tasks.result = { run = "echo#echo-result", with = { value = { err = "e" } } }
            tasks.bare-result = { run = "echo#echo-bare-result", with = { value = "err" } }
            tasks.leave = { run = "failing#exit", with = { code = 3 } }
            tasks.leave-well = { run = "failing#exit", with = { code = 0 } }
            tasks.swallow = { run = "echo#swallow", with = { value = "${fail}" } }
        "#,
    },
    Row {
        name: "commands",
        code: 100,
        holds: &["exited with code 1", "code 75", "A=1\\nB=2\\n", r#""out":"a b\nc\n""#, "asked to panic"],
        chance: &[("loop", "error", STOPPED)],
        toml: r#"
            tasks.out = { run = "command#run", with = { args = ["args", "a b", "c"] }, stdout = "string" }
            tasks.env = { run = "command#run", with = { args = ["env"], env = { B = "2", A = "1" } }, stdout = "string" }
            tasks.copy = { run = "command#run", with = { stdin = { base64 = "AAEC/w==" } }, stdout = "bytes" }
            tasks.exit = { run = "command#run", with = { args = ["exit", "3"] } }
            tasks.temporary = { run = "command#run", with = { args = ["exit", "75"] }, retry = { max-attempts = 2, delay = "1ms" } }
            tasks.panic = { run = "command#run", with = { args = ["panic"] } }
            tasks.fail = { run = "command#run", with = { args = ["fail"] } }
            tasks.much = { run = "command#run", with = { args = ["write", "100000"] }, stdout = "bytes", limits = { output = "64KiB" } }
            tasks.loop = { run = "command#run", with = { args = ["loop"] }, limits = { timeout = "200ms" } }
        "#,
    },
    Row {
        name: "traps and limits",
        code: 100,
        holds: &["unreachable", "memory limit of 16 MiB", "output limit of 64 KiB", "fuel limit of 1000000"],
        chance: &[
            ("stack", "error", STOPPED),
            ("memory-stack", "error", STOPPED),
            ("host-stack", "error", STOPPED),
        ],
        toml: r#"
            defaults.limits = { memory = "16MiB", output = "64KiB" }
            tasks.trap = { run = "failing#trap" }
            tasks.panic = { run = "failing#panic", with = { message = "oh" } }
            tasks.divide = { run = "failing#divide-by-zero", with = { number = 1 } }
            tasks.stack = { run = "failing#overflow-stack" }
            tasks.memory-stack = { run = "failing#overflow-memory-stack" }
            tasks.host-stack = { run = "hostile#recurse-through-host" }
            tasks.memory = { run = "failing#out-of-memory" }
            tasks.take = { run = "failing#take-memory", with = { bytes = 100000000 } }
            tasks.refused = { run = "failing#refused-memory" }
            tasks.output = { run = "failing#big-output", with = { bytes = 100000 } }
            tasks.string = { run = "failing#big-string", with = { bytes = 100000 } }
            tasks.fits = { run = "failing#big-string", with = { bytes = 1000 } }
            tasks.list = { run = "failing#big-list", with = { length = 100000 } }
            tasks.untouched = { run = "hostile#return-untouched", with = { bytes = 10000000 } }
            tasks.fuel = { run = "failing#spin", limits = { fuel = 1000000 } }
            tasks.fuelled = { run = "echo#answer", limits = { fuel = 1000000 } }
            tasks.streams = { run = "hostile#hold-streams", with = { n = 1000000 } }
            tasks.timers = { run = "hostile#hold-timers", with = { n = 1000000 } }
            tasks.random = { run = "hostile#random", with = { bytes = 100000000 } }
        "#,
    },
    Row {
        name: "timeouts",
        code: 100,
        holds: &["timed-out", "300ms"],
        chance: &[("spin", "error", STOPPED), ("grind", "error", STOPPED), ("flood", "error", STOPPED)],
        toml: r#"
            defaults.limits = { timeout = "300ms" }
            tasks.spin = { run = "failing#spin" }
            tasks.grind = { run = "hostile#grind" }
            tasks.nap = { run = "failing#sleep", with = { ms = 3600000 } }
            tasks.naps = { run = "hostile#nap-forever" }
            tasks.flood = { run = "sharing#flood" }
        "#,
    },
    Row {
        name: "grants that are there",
        code: 0,
        holds: &["inside", r#"["LANG","C"]"#, r#""body":"hello""#, r#""said":"hello""#, "[redacted]"],
        chance: &[],
        toml: r#"
            tasks.read = { run = "reach#read", with = { path = "data/a.txt" }, grants = { read = ["data"] } }
            tasks.entries = { run = "reach#entries", with = { path = "d/b" }, grants = { read = [{ path = "data", as = "d" }] } }
            tasks.write = { run = "reach#write", with = { path = "out/new.txt", text = "new" }, grants = { write = ["out"] } }
            tasks.append = { run = "reach#append", with = { path = "out/new.txt", text = "er" }, grants = { write = ["out"] }, after = ["write"] }
            tasks.make = { run = "reach#make-directory", with = { path = "out/deep" }, grants = { write = ["out"] } }
            tasks.move = { run = "reach#rename", with = { old = "out/new.txt", new = "out/deep/moved.txt" }, grants = { write = ["out"] }, after = ["append", "make"] }
            tasks.hold = { run = "reach#hold-open", with = { path = "data/a.txt", n = 20 }, grants = { read = ["data"] } }
            tasks.variables = { run = "reach#variables", grants = { env = { LANG = "C", MODE = "fast" } } }
            tasks.secret = { run = "command#run", with = { args = ["env"] }, grants = { env = { KEY = { env = "CONFORMANCE_SECRET" } } } }
            tasks.tell = { run = "talkative#stdout", with = { text = { env = "CONFORMANCE_SECRET" } } }
            tasks.said = { run = "reach#exchange", with = { address = "{TCP}", text = "hello" }, grants = { net = ["{TCP}"] } }
            tasks.fetched = { run = "fetch#get", with = { url = "{HTTP}/hello" }, grants = { http = ["{HTTP}"] } }
            tasks.posted = { run = "fetch#post", with = { url = "{HTTP}/", bytes = 100000 }, grants = { http = ["{HTTP}"] } }
        "#,
    },
    Row {
        name: "grants that are not there",
        code: 100,
        holds: &["`net` grant does not cover", "denied", r#""escape":[],"deface":[],"variables":[]"#],
        chance: &[],
        toml: r#"
            tasks.outside = { run = "reach#read", with = { path = "data/../secret.txt" }, grants = { read = ["data"] } }
            tasks.absolute = { run = "reach#read", with = { path = "/etc/passwd" }, grants = { read = ["data"] } }
            tasks.missing = { run = "reach#read", with = { path = "data/none.txt" }, grants = { read = ["data"] } }
            tasks.nothing = { run = "reach#read", with = { path = "data/a.txt" } }
            tasks.read-only = { run = "reach#write", with = { path = "data/new.txt", text = "x" }, grants = { read = ["data"] } }
            tasks.escape = { run = "hostile#escape", with = { outside = "{OUTSIDE}" }, grants = { write = ["pen"] } }
            tasks.deface = { run = "hostile#deface", grants = { read = ["data"] } }
            tasks.variables = { run = "reach#variables" }
            tasks.connect = { run = "reach#connect", with = { address = "{TCP}" } }
            tasks.elsewhere = { run = "reach#connect", with = { address = "{TCP}" }, grants = { net = ["10.0.0.0/8:1-65535"] } }
            tasks.listen = { run = "reach#listen", with = { address = "127.0.0.1:0" }, grants = { net = ["127.0.0.1:1-65535"] } }
            tasks.resolve = { run = "reach#resolve", with = { name = "localhost" } }
            tasks.fetch = { run = "fetch#get", with = { url = "{HTTP}/hello" } }
            tasks.origin = { run = "fetch#get", with = { url = "{HTTP}/hello" }, grants = { http = ["http://127.0.0.1:1"] } }
        "#,
    },
    Row {
        name: "lines and progress",
        code: 100,
        holds: &["out 2", "err 2", r#""level":"trace""#, r#""cut":true"#, "step 50", "to the log", "forged"],
        chance: &[],
        toml: r#"
            defaults.limits = { log = "16KiB" }
            tasks.both = { run = "talkative#both", with = { n = 3 } }
            tasks.bytes = { run = "talkative#stdout-bytes", with = { bytes = { base64 = "//4K8J+mgA==" } } }
            tasks.pieces = { run = "talkative#stdout-in-pieces", with = { bytes = { base64 = "8J+mgMOpCmE=" } } }
            tasks.open = { run = "talkative#stderr", with = { text = "without an end" } }
            tasks.lines = { run = "talkative#lines", with = { n = 5000 } }
            tasks.long = { run = "talkative#long-line", with = { bytes = 100000 } }
            tasks.empty = { run = "talkative#empty-writes", with = { n = 10000 } }
            tasks.levels = { run = "talkative#levels" }
            tasks.wasi = { run = "talkative#wasi-levels" }
            tasks.logs = { run = "talkative#log-lines", with = { n = 5000 } }
            tasks.escapes = { run = "talkative#escapes" }
            tasks.count = { run = "talkative#count", with = { n = 50 } }
            tasks.report = { run = "talkative#report", with = { done = 18446744073709551, message = "far" } }
            tasks.words = { run = "talkative#last-words" }
            tasks.untouched = { run = "hostile#log-untouched", with = { bytes = 10000000 } }
            tasks.flood = { run = "hostile#flood-stdout", with = { bytes = 10000000 } }
            tasks.each = { run = "talkative#log", with = { message = "branch ${item}" } }
            groups.all = { task = "each", for-each = { range = [0, 50] } }
        "#,
    },
    Row {
        name: "a type that means nothing outside",
        code: 2,
        holds: &["a handle means nothing outside the component"],
        chance: &[],
        toml: "tasks.take = { run = \"handles#take\", with = { thing = 1 } }",
    },
    Row {
        name: "what has to be the same bytes",
        code: 0,
        holds: &[r#""nan":["#],
        chance: &[],
        toml: r#"
            defaults.deterministic = true
            tasks.clocks = { run = "reach#clocks" }
            tasks.slept = { run = "reach#sleep", with = { ms = 3600000 } }
            tasks.random = { run = "reach#random", with = { n = 32 } }
            tasks.insecure = { run = "reach#insecure-random", with = { n = 32 } }
            tasks.seed = { run = "reach#seed" }
            tasks.order = { run = "reach#map-order" }
            tasks.nan = { run = "reach#nan-bits" }
            tasks.place = { run = "failing#place" }
        "#,
    },
];
