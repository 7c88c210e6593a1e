//! The table: a workflow in each row, how it ends, and what must be told of it for the row to show
//! anything. A row that holds on one executor holds on all.

/// A workflow that comes to the same on every executor.
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
    rate-limit = "400/s"
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
        name: "retries",
        code: 100,
        holds: &[r#""flaky":3"#, r#""attempts":4"#, "attempt 1 of 3"],
        chance: &[("slow", "error", STOPPED)],
        toml: r#"
            defaults.retry = { max-attempts = 4, delay = "2ms" }
            seed = 7
            tasks.flaky = { run = "failing#flaky", with = { until-attempt = 3 } }
            tasks.always = { run = "failing#fail-retryable", with = { message = "again" } }
            tasks.never = { run = "failing#fail-permanent", with = { message = "never" } }
            tasks.text = { run = "failing#fail", with = { message = "no" } }
            tasks.trap = { run = "failing#trap" }
            tasks.traps = { run = "failing#trap", retry = { on = ["trapped"] } }
            tasks.slow = { run = "failing#spin", limits = { timeout = "50ms" }, retry = { max-attempts = 2 } }
            tasks.many = { run = "failing#flaky", with = { until-attempt = "${item}" } }
            groups.all = { task = "many", for-each = { range = [1, 6] }, require = "any" }
        "#,
    },
    Row {
        name: "a breaker opens and gives up",
        code: 100,
        holds: &["breaker-opened", "3 probes failed", "breaker open"],
        chance: &[],
        toml: r#"
            [tasks.down]
            run = "failing#fail"
            with = { message = "connection refused" }
            [groups.calls]
            task = "down"
            for-each = { range = [0, 12] }
            concurrency = 1
            breaker = { failures = 2, cooldown = "20ms" }
        "#,
    },
    Row {
        name: "cancelled and timed groups",
        code: 100,
        holds: &["its timeout of 600ms passed", r#""status":"cancelled""#, r#""first":"fast""#],
        chance: &[
            ("naps", "attempts", BEGUN),
            ("beside", "attempts", BEGUN),
            ("slow", "attempts", BEGUN),
            ("inner", "attempts", BEGUN),
            ("race", "attempts", BEGUN),
        ],
        toml: r#"
            [tasks.odd]
            run = "failing#fail-odd"
            with = { number = "${item}" }
            [groups.one-by-one]
            task = "odd"
            for-each = { range = [0, 6] }
            concurrency = 1
            on-failure = "cancel"
            [tasks.nap]
            run = "failing#sleep"
            with = { ms = 3600000 }
            [groups.naps]
            task = "nap"
            for-each = { range = [0, 6] }
            timeout = "600ms"
            [tasks.bad]
            run = "failing#trap-after"
            with = { ms = 100 }
            [groups.inner]
            task = "nap"
            for-each = { range = [0, 3] }
            [groups.beside]
            tasks = ["bad", "inner", "nap"]
            on-failure = "cancel"
            [tasks.fast]
            run = "echo#echo-string"
            with = { value = "fast" }
            [tasks.spin]
            run = "steering#spin"
            [groups.race]
            tasks = ["spin", "fast"]
            merge = "first-success"
            [outputs]
            first = "${race}"
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
        name: "figures",
        code: 100,
        holds: &[r#""pages":30.0"#, r#""words":3.0"#],
        chance: &[],
        toml: r#"
            tasks.figure = { run = "sharing#figure", with = { name = "pages", amount = 1.5, fails-first = true } }
            groups.all = { task = "figure", for-each = { range = [0, 20] }, retry = { max-attempts = 2, delay = "1ms" } }
            tasks.lost = { run = "sharing#figure", with = { name = "lost", amount = 1.0, fails-first = true } }
            tasks.wrong = { run = "sharing#break-figures" }
            tasks.count = { run = "counting#count", with = { text = "one two three" }, deterministic = true }
        "#,
    },
    Row {
        name: "the channel",
        code: 0,
        holds: &[
            r#""sum":"4950""#,
            r#""locked":"20""#,
            r#""wait":"hello""#,
            "Error::Overflow",
            "Error::OutOfSpace",
        ],
        chance: &[],
        toml: r#"
            [tasks.add]
            run = "sharing#add"
            with = { key = "n", by = "${item}" }
            [groups.adds]
            task = "add"
            for-each = { range = [0, 100] }
            [tasks.sum]
            run = "sharing#read"
            with = { key = "n" }
            after = ["adds"]
            [tasks.lock]
            run = "sharing#add-locked"
            with = { key = "locked" }
            [groups.locks]
            task = "lock"
            for-each = { range = [0, 20] }
            [tasks.locked]
            run = "sharing#read"
            with = { key = "locked" }
            after = ["locks"]
            [tasks.wait]
            run = "sharing#wait-for"
            with = { key = "greeting" }
            [tasks.say]
            run = "sharing#write"
            with = { key = "greeting", text = "hello" }
            [groups.both]
            tasks = ["wait", "say"]
            [tasks.twice]
            run = "sharing#add-twice"
            with = { key = "twice" }
            retry = { max-attempts = 2, delay = "1ms" }
            [tasks.gone]
            run = "sharing#wait-until-gone"
            with = { key = "short", time-to-live = 1000 }
            [tasks.append]
            run = "sharing#append"
            with = { key = "greeting", text = "!" }
            after = ["both"]
            [tasks.keys]
            run = "sharing#keys"
            with = { prefix = "" }
            after = ["sum", "locked", "append", "twice", "gone"]
            [tasks.broken]
            run = "sharing#break-bounds"
            after = ["keys"]
            [tasks.full]
            run = "sharing#fill"
            after = ["broken"]
            [outputs]
            sum = "${sum}"
            locked = "${locked}"
            both = "${both}"
            twice = "${twice}"
            gone = "${gone}"
            append = "${append}"
            keys = "${keys}"
            broken = "${broken}"
            full = "${full}"
        "#,
    },
    Row {
        name: "next, iterate and goto",
        code: 0,
        holds: &[
            r#""down":0"#,
            "published: draft",
            "not-allowed",
            "invalid-arguments",
            "too-many-iterations",
        ],
        chance: &[],
        toml: r#"
            [tasks.draft]
            run = "steering#act"
            with = { text = "draft", asks = ['next refine {"text": "one"}', 'hand refine', 'next refine {"wrong": 1}', 'next draft {}', 'goto publish'] }
            may-start = ["refine", "publish"]
            [tasks.refine]
            run = "steering#act"
            with = { asks = [] }
            [tasks.publish]
            run = "steering#act"
            with = { text = "published: ${draft}", asks = [] }
            [tasks.polish]
            run = "steering#act"
            with = { text = "${draft}", asks = [] }
            [tasks.down]
            run = "steering#count-down"
            with = { number = 4 }
            max-iterations = 5
            retry = { max-attempts = 2, delay = "1ms" }
            [tasks.again]
            run = "steering#act"
            with = { text = "x", asks = ['iterate {"asks": ["iterate {}"]}'] }
            max-iterations = 2
            [tasks.bold]
            run = "steering#act"
            with = { text = "bold", asks = ['next refine {}', 'iterate {}', 'finish', 'abort no', 'goto refine'] }
            [tasks.many]
            run = "steering#flood"
            with = { task = "none", arguments = "{}" }
            [outputs]
            refined = "${refine}"
            published = "${publish}"
            down = "${down}"
            again = "${again}"
            bold = "${bold}"
            many = "${many}"
        "#,
    },
    Row {
        name: "finish",
        code: 0,
        holds: &[r#""request":"finish""#, r#""early":"early""#],
        chance: &[("endless", "attempts", BEGUN)],
        toml: r#"
            [tasks.endless]
            run = "steering#spin"
            [tasks.early]
            run = "steering#act"
            with = { text = "early", asks = [] }
            [tasks.late]
            run = "steering#act"
            with = { text = "late", asks = ["finish"] }
            after = ["early"]
            may-end = true
            [tasks.never]
            run = "steering#act"
            with = { text = "${late}", asks = [] }
            [outputs]
            early = "${early}"
            endless = "${endless}"
        "#,
    },
    Row {
        name: "abort",
        code: 100,
        holds: &["it makes no sense", "fails after all"],
        chance: &[("endless", "attempts", BEGUN)],
        toml: r#"
            [tasks.endless]
            run = "failing#sleep"
            with = { ms = 3600000 }
            [tasks.first]
            run = "steering#act"
            with = { text = "", asks = ["next other {}", "fails"] }
            may-start = ["other"]
            [tasks.other]
            run = "steering#act"
            with = { text = "", asks = [] }
            [tasks.fine]
            run = "steering#act"
            with = { text = "fine", asks = [] }
            [groups.firsts]
            tasks = ["first", "fine"]
            require = "any"
            [tasks.stop]
            run = "steering#act"
            with = { text = "", asks = ["abort it makes no sense"] }
            may-end = true
            retry = { max-attempts = 3 }
            [groups.stops]
            tasks = ["stop"]
            after = ["firsts"]
        "#,
    },
    Row {
        name: "arguments that are refused",
        code: 100,
        holds: &["rejected", "gone.txt"],
        chance: &[],
        toml: r#"
            [tasks.text]
            run = "echo#echo-string"
            with = { value = { file = "data/${item}" } }
            retry = { max-attempts = 3 }
            [groups.texts]
            task = "text"
            for-each = ["a.txt", "gone.txt", "b", "b/c.txt"]
            [tasks.make]
            run = "echo#count-to"
            with = { end = 3 }
            [tasks.picked]
            run = "echo#echo-u32"
            with = { value = "${make.7}" }
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
        name: "sixteen mebibytes both ways",
        code: 0,
        holds: &[r#""outcome":"succeeded""#],
        chance: &[],
        toml: r#"
            defaults.limits = { output = "64MiB" }
            tasks.there = { run = "echo#echo-bytes", with = { value = { file = "big.bin" } } }
            tasks.back = { run = "echo#echo-bytes", with = { value = "${there}" } }
            tasks.text = { run = "failing#big-string", with = { bytes = 16777216 } }
            tasks.list = { run = "echo#count-to", with = { end = 100000 } }
            tasks.sum = { run = "echo#sum", with = { values = "${list}" } }
            outputs.sum = "${sum}"
            outputs.bytes = { value = "${back}", file = "out/bytes.bin" }
            outputs.text = { value = "${text}", file = "out/text.txt" }
        "#,
    },
    Row {
        name: "two thousand branches",
        code: 100,
        holds: &[r#""sum":3998000"#, r#""succeeded":3001"#, "1999 is odd"],
        chance: &[],
        toml: r#"
            [tasks.twice]
            run = "echo#add"
            with = { a = "${item}", b = "${item}" }
            [groups.doubled]
            task = "twice"
            for-each = { range = [0, 2000] }
            [tasks.sum]
            run = "echo#sum"
            with = { values = "${doubled}" }
            [tasks.odd]
            run = "failing#fail-odd"
            with = { number = "${item}" }
            [groups.odds]
            task = "odd"
            for-each = { range = [0, 2000] }
        "#,
    },
    Row {
        name: "groups in groups, splits and merges",
        code: 0,
        holds: &[r#""deepest":{"list":[1,2,3]"#, r#""pieces-of":10"#, "3 is odd"],
        chance: &[],
        toml: r#"
            [tasks.next]
            run = "echo#add"
            with = { a = "${item}", b = 1 }
            [groups.list]
            task = "next"
            for-each = { range = [0, 3] }
            [tasks.fold]
            run = "echo#sum"
            [tasks.pieces]
            run = "echo#cut"
            [tasks.add-up]
            run = "echo#sum"
            with = { values = "${item}" }
            [groups.pieces-of]
            task = "add-up"
            for-each = [1, 2, 0, 3, 4]
            split = { task = "pieces" }
            merge = { task = "fold" }
            [tasks.odd]
            run = "failing#fail-odd"
            with = { number = "${item}" }
            [groups.odds]
            task = "odd"
            for-each = { range = [0, 5] }
            merge = "results"
            [groups.deepest]
            tasks = ["list", "odds"]
            [groups.middle]
            tasks = ["deepest", "pieces-of"]
            require = "any"
            [groups.outer]
            tasks = ["middle", "left-out"]
            [tasks.left-out]
            run = "echo#answer"
            when = false
            [outputs]
            all = "${outer}"
        "#,
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
    Row {
        name: "an attempt's place, in an instance of its own",
        code: 0,
        holds: &[r#"["RUN","place","places",2,3,1]"#, r#""calls":[0,0,0"#],
        chance: &[],
        toml: r#"
            tasks.place = { run = "failing#place" }
            groups.places = { task = "place", for-each = { range = [0, 3] } }
            tasks.call = { run = "failing#calls-before" }
            groups.calls = { task = "call", for-each = { range = [0, 100] } }
            tasks.left = { run = "failing#time-left" }
        "#,
    },
];
