//! Rows about what becomes of many calls: retries, groups, the channel, flow, sizes and numbers.

use super::{BEGUN, Row, STOPPED};

pub(super) const ROWS: &[Row] = &[
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
        name: "an attempt's place, in an instance of its own",
        code: 0,
        holds: &[r#"["RUN","place","places",2,3,1]"#, r#""calls":[0,0,0"#],
        chance: &[],
        toml: r#"
            tasks.place = { run = "failing#place" }
            groups.places = { task = "place", for-each = { range = [0, 3] } }
            tasks.call = { run = "failing#calls-before" }
            groups.calls = { task = "call", for-each = { range = [0, 100] } }
        "#,
    },
];
