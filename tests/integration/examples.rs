//! The examples, on their real input, against answers that other programs give.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use flowhost_tests::{Redis, Sshd};
use serde_json::Value;

use crate::support::{Place, ended, plain, program, repository};

/// Runs an example from a copy of the repository's tracked files, built from source.
fn run(example: &str, arguments: &[&str]) -> crate::support::Ended {
    let place = Place::new();
    let workflow = format!("examples/{example}/workflow.toml");
    let mut command = place.command(["run", "--build", "--root", ".", "--progress", "none", &workflow]);
    plain(&mut command);
    ended(command.args(arguments).current_dir(repository()))
}

/// What a shell command prints, run in the repository.
fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn wordcount_agrees_with_wc_and_uniq() {
    let ended = run("wordcount", &[]);
    assert_eq!(ended.code, 0, "{ended}");
    let counted = ended.json();
    let files = "find docs -name '*.md'; find host/src -name '*.rs'";
    let number = |script: &str| shell(script).trim().parse::<u64>().unwrap();
    assert_eq!(counted["files"], number(&format!("({files}) | wc -l")));
    let wc = |flag: &str| number(&format!("({files}) | xargs cat | LC_ALL=C.UTF-8 wc -{flag}"));
    assert_eq!(counted["lines"], wc("l"));
    assert_eq!(counted["bytes"], wc("c"));
    assert_eq!(counted["words"], wc("w"));
    let frequencies = format!(
        "({files}) | xargs cat | tr -cs 'A-Za-z' '\\n' | tr 'A-Z' 'a-z' | sort | uniq -c | awk '$2 != \"\" {{ print $2, $1 }}'"
    );
    let frequencies = shell(&frequencies);
    let expected: BTreeMap<&str, u64> = frequencies
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, count)| (word, count.parse().unwrap()))
        .collect();
    let top = counted["top"].as_array().unwrap();
    assert_eq!(top.len(), 20);
    for word in top {
        assert_eq!(word["count"], expected[word["text"].as_str().unwrap()], "{word}");
    }
    let most = expected.values().max().unwrap();
    assert_eq!(top[0]["count"], *most);
}

#[test]
fn mandelbrot_makes_a_picture_that_others_can_read() {
    let picture = repository().join("examples/mandelbrot/out/mandelbrot.png");
    let ended = run("mandelbrot", &["--input", "x=-0.5", "--input", "y=0.0", "--input", "span=3.2"]);
    assert_eq!(ended.code, 0, "{ended}");
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(picture).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let at = |x: u32, y: u32| {
        let start = (y as usize * info.width as usize + x as usize) * 3;
        &pixels[start..start + 3]
    };
    // The set itself is one colour: its middle is in it, the corners are not.
    let inside = at(info.width / 2, info.height / 2);
    assert_ne!(inside, at(0, 0));
    assert_ne!(inside, at(info.width - 1, info.height - 1));
    // The set is symmetric about the real axis, within a pixel.
    let colours: std::collections::HashSet<&[u8]> = pixels.chunks(3).collect();
    assert!(colours.len() > 50, "only {} colours", colours.len());
}

#[test]
fn batch_agrees_with_awk() {
    let ended = run("batch", &[]);
    assert_eq!(ended.code, 0, "{ended}");
    // Ten lines are a chunk; one without a weight takes its chunk with it.
    let script = r#"awk -F, '
        NR > 1 && $6 == "NA" { bad[int((NR - 1) / 10)] = 1 }
        NR > 1 { chunk[NR] = int((NR - 1) / 10); species[NR] = $1; grams[NR] = $6 }
        END { for (n in species) if (!(chunk[n] in bad)) { count[species[n]]++; sum[species[n]] += grams[n] }
              for (s in count) printf "%s %d %.6f\n", s, count[s], sum[s] / count[s] }
    ' examples/batch/penguins.csv | sort"#;
    let told = ended.json();
    let averages = told["species"].as_array().unwrap().iter().map(|species| {
        let grams = species["grams"].as_f64().unwrap();
        format!("{} {} {grams:.6}\n", species["species"].as_str().unwrap(), species["penguins"])
    });
    assert_eq!(averages.collect::<String>(), shell(script));
    let problems = told["problems"].as_array().unwrap();
    assert!(
        problems.len() == 2 && problems.iter().all(|problem| problem.as_str().unwrap().contains("NA,NA"))
    );
}

#[test]
fn compare_keeps_the_better_of_two() {
    let ended = run("compare", &[]);
    assert_eq!(ended.code, 0, "{ended}");
    let told = ended.json();
    let table = repository().join("examples/batch/penguins.csv");
    let packed = repository().join("examples/compare/out/table.deflate");
    let length = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    assert_eq!(told["saved"], length(&table) - length(&packed));
    assert_eq!(told["layout"], "columns");
    let unpack = r#"python3 -c '
import csv, zlib
cells = zlib.decompress(open("examples/compare/out/table.deflate", "rb").read(), -15).decode().split("\n")
rows = list(csv.reader(open("examples/batch/penguins.csv")))
print(cells == [row[column] for column in range(len(rows[0])) for row in rows])'"#;
    assert_eq!(shell(unpack), "True\n");
}

#[test]
fn fleet_agrees_with_python_whichever_worker_shuffled() {
    let server = Redis::start(&[]);
    // Two workers, started by hand as its README has it.
    let places = [Place::new(), Place::new()];
    let workers = places.each_ref().map(|place| {
        let mut worker = place.command(["worker", "--redis", &server.url(), "--concurrency", "1"]);
        Ending(worker.stderr(Stdio::null()).spawn().unwrap())
    });
    let place = Place::new();
    let workflow = "examples/fleet/workflow.toml";
    let mut command = place.command(["run", "--build", "--root", ".", "--progress", "none", workflow]);
    plain(&mut command);
    command.args(["--input", "times=50"]).env("FLOWHOST_REDIS", server.url());
    let ended = ended(command.current_dir(repository()));
    assert_eq!(ended.code, 0, "{ended}");
    let told = ended.json();
    assert_eq!(told["shuffles"], 200 * 50);
    assert_eq!(told["as-far"].to_string(), shell(SHUFFLES).trim());
    drop(workers);
}

#[test]
fn everywhere_agrees_with_python_and_each_group_was_where_it_was_to_be() {
    let (server, sshd, place) = (Redis::start(&[]), Sshd::start(), Place::new());
    let url = server.url();
    // As its README has it, which also builds the component.
    let example = "examples/everywhere/workflow.toml";
    let mut check = place.command(["check", "--build", "--root", ".", example]);
    plain(&mut check);
    let checked = ended(check.env("FLOWHOST_REDIS", &url).current_dir(repository()));
    assert_eq!(checked.code, 0, "{checked}");
    // A copy names a node of the test's own, as people name theirs.
    let text = std::fs::read_to_string(repository().join(example)).unwrap();
    let own = text.replace(r#"nodes = ["node"]"#, &format!("nodes = [{}]", sshd.node_toml("")));
    assert_ne!(text, own);
    place.file(example, own);
    for needed in
        ["examples/fleet/guest/target/wasm32-wasip2/release/chance.wasm", "examples/batch/penguins.csv"]
    {
        place.file(needed, std::fs::read(repository().join(needed)).unwrap());
    }
    let mut worker = place.command(["worker", "--redis", &url, "--id", "of-the-queue"]);
    let worker = Ending(worker.stderr(Stdio::null()).spawn().unwrap());

    let mut run = place.command(["run", "--root", ".", "--progress", "json", "--input", "times=50", example]);
    let run = ended(run.env("FLOWHOST_REDIS", &url));
    assert_eq!(run.code, 0, "{run}");
    let told = run.json();
    assert_eq!(told["shuffles"], 200 * 50);
    assert_eq!(told["as-far"].to_string(), shell(SHUFFLES).trim());
    let mut ran: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in run.stderr.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "attempt-ended" {
            let of = |key: &str| event[key].as_str().map(str::to_owned);
            let name = of("group").or_else(|| of("task")).unwrap();
            *ran.entry((name, of("executor").unwrap())).or_default() += 1;
        }
    }
    let ran: Vec<_> = ran.iter().map(|((name, executor), count)| (&**name, &**executor, *count)).collect();
    let expected = [
        ("children", "process", 50),
        ("here", "in-process", 50),
        ("nodes", "lab", 50),
        ("verdict", "in-process", 1),
        ("workers", "redis", 50),
    ];
    assert_eq!(ran, expected);
    drop(worker);
}

/// How often chance did as much, of 200 times 50 shuffles.
const SHUFFLES: &str = r#"python3 -c '
import csv
weights = {}
for row in csv.DictReader(open("examples/batch/penguins.csv")):
    if row["body_mass_g"] != "NA":
        weights.setdefault(row["species"], []).append(int(row["body_mass_g"]))
one, other = weights["Adelie"], weights["Chinstrap"]
first, wrap = len(one), (1 << 64) - 1
def difference(all):
    return abs(sum(all[:first]) * len(other) - sum(all[first:]) * first)
def below(bound):
    global state
    state = (state + 0x9e3779b97f4a7c15) & wrap
    mixed = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & wrap
    mixed = ((mixed ^ (mixed >> 27)) * 0x94d049bb133111eb) & wrap
    return ((mixed ^ (mixed >> 31)) * bound) >> 64
count = 0
for state in range(200):
    all = one + other
    for _ in range(50):
        for at in range(first):
            swap = at + below(len(all) - at)
            all[at], all[swap] = all[swap], all[at]
        count += difference(all) >= difference(one + other)
print(count)'"#;

/// A process that ends with its owner.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the review should find and mend, by regular expressions.
const REVIEW: &str = r##"
import glob, json, re
texts = [open(path).read() for path in sorted(glob.glob("examples/review/texts/*.txt"))]
words = [re.findall(r"\w+(?:'\w+)*", text.lower()) for text in texts]
def find(rule, flags=re.M):
    return sum(len(re.findall(rule, text, flags)) for text in texts)
doubled = r"\b(?!had\b|that\b)(\w+)"
def misread(word, others):
    for read, meant in ("rn", "m"), ("m", "rn"), ("li", "h"), ("tb", "th"), ("sb", "sh"), ("1", "l"), ("0", "o"), ("vv", "w"):
        for at in re.finditer(read, word):
            if sum(word[:at.start()] + meant + word[at.end():] in other for other in words) > 1:
                return not any(word in other for other in others)
def ease(text, words):
    sentences = sum(bool(re.search(r"\w", part)) for part in re.split("[.!?]", text))
    syllables = sum(max(1, len(re.findall("[aeiouy]+", re.sub("e$", "", word)))) for word in words)
    return 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
counts = {
    "trailing-blank": find(r"[ \t]+$"),
    "inner-blanks": find(r"\S[ \t]{2,}(?=\S)"),
    "stray-blank": find(r"\S[ \t]+(?=[,;:!?])"),
    "long-line": find(r"^.{77,}$"),
    "doubled-word": find(doubled + r"[ \t]*\s[ \t]*\1\b", re.I),
    "misread-word": sum(bool(misread(word, words[:at] + words[at + 1:])) for at in range(len(texts)) for word in words[at]),
    "hard-to-read": sum(len(some) >= 100 and ease(text, some) < 60 for text, some in zip(texts, words)),
}
def mended(text):
    text = re.sub(doubled + r"[ \t]+\1\b", r"\1", text, flags=re.I)
    text = re.sub(doubled + r"([ \t]*\n)\1\b[ \t]*\n?", r"\1\2", text, flags=re.I)
    text = re.sub(r"(\S)[ \t]+([,;:!?])", r"\1\2", text)
    text = re.sub(r"(\S)[ \t]{2,}(?=\S)", r"\1 ", text)
    return re.sub(r"[ \t]+$", "", text, flags=re.M).rstrip()
print(json.dumps({"counts": counts, "book": "\n\n\n".join(map(mended, texts)) + "\n"}))
"##;

#[test]
fn review_agrees_with_regular_expressions() {
    let ended = run("review", &[]);
    assert_eq!(ended.code, 0, "{ended}");
    let told = ended.json();
    let expected: Value = serde_json::from_str(&shell(&format!("python3 <<'END'{REVIEW}END"))).unwrap();
    assert_eq!(told["language"], "english");
    let list = |of: &str| told[of].as_array().unwrap().clone();
    let counts: serde_json::Map<_, _> = list("counts")
        .iter()
        .map(|count| (count["rule"].as_str().unwrap().to_owned(), count["findings"].clone()))
        .collect();
    assert_eq!(Value::Object(counts), expected["counts"]);
    let out =
        |file: &str| std::fs::read_to_string(repository().join("examples/review/out").join(file)).unwrap();
    assert_eq!(expected["book"], out("mended.txt"));
    let (report, findings) = (out("report.txt"), list("counts"));
    let findings = findings.iter().map(|count| count["findings"].as_u64().unwrap());
    assert_eq!(report.lines().count() as u64, findings.sum::<u64>());
    assert!(list("mended").iter().all(|one| one["left"] == false), "{told}");
    // One text has too few words for a judgement. Whether they are German may be known before it is asked.
    for said in ["tolerated: ease[3]", "(tolerated)"] {
        assert!(ended.stderr.contains(said), "{said} in {ended}");
    }

    // Whatever comes first, it comes to the same.
    let again = run("review", &["--concurrency", "1"]);
    assert_eq!((again.code, &again.stdout, out("report.txt")), (0, &ended.stdout, report), "{again}");
}

#[test]
fn parallel_agrees_with_wc_and_uniq_though_a_node_is_gone() {
    let mut nodes = [Sshd::start(), Sshd::start()];
    let out = repository().join("examples/parallel/out/counts.json");
    let place = Place::new();
    let run = |nodes: &[Sshd]| {
        let mut command = Command::new("examples/parallel/run.sh");
        plain(&mut command);
        // Two nodes at one address differ in how they are reached, which is part of Parallel's name for a node.
        command.args(nodes.iter().map(|node| format!("{} root@{}", node.client().join(" "), node.address())));
        command
            .env("FLOWHOST", program())
            .env("PARALLEL_HOME", place.path())
            .env("XDG_CACHE_HOME", place.path());
        // It may not be there.
        let _ = std::fs::remove_file(&out);
        let ended = ended(command.current_dir(repository()).stdin(Stdio::null()));
        assert_eq!(ended.code, 0, "{ended}");
        (ended.json(), std::fs::read_to_string(&out).unwrap())
    };
    let (top, text) = run(&nodes);
    let counts: Value = serde_json::from_str(&text).unwrap();
    let texts = "cat examples/review/texts/*.txt";
    for (name, flag) in [("lines", 'l'), ("bytes", 'c'), ("words", 'w')] {
        let wc: u64 = shell(&format!("{texts} | LC_ALL=C.UTF-8 wc -{flag}")).trim().parse().unwrap();
        assert_eq!(counts[name], wc, "{name}");
    }
    let frequencies = shell(&format!(
        "{texts} | tr -cs 'A-Za-z' '\\n' | tr 'A-Z' 'a-z' | sed '/^$/d' | LC_ALL=C sort | uniq -c | awk '{{ print $2, $1 }}'"
    ));
    let counted = counts["frequencies"].as_array().unwrap().iter();
    let counted = counted.map(|word| format!("{} {}\n", word["text"].as_str().unwrap(), word["count"]));
    assert_eq!(counted.collect::<String>(), frequencies);
    let most = frequencies.lines().map(|line| line.split_once(' ').unwrap().1.parse::<u64>().unwrap()).max();
    assert_eq!(top[0]["count"].as_u64(), most);

    // Both nodes took part, and only compiled code is left there.
    for node in &nodes {
        assert_eq!(node.run("ls -A; ls -A .cache; ls .cache/flowhost").stdout, ".cache\nflowhost\ncode\n");
        assert_eq!(node.processes(), Vec::<String>::new());
    }

    nodes[1].kill();
    assert_eq!(run(&nodes), (top, text));
}
