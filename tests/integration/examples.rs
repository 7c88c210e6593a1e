//! The examples, on their real input, against answers that other programs give.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::{Place, ended, repository};

/// Runs an example from a copy of the repository's tracked files, built from source.
fn run(example: &str, arguments: &[&str]) -> crate::support::Ended {
    let place = Place::new();
    let workflow = format!("examples/{example}/workflow.toml");
    let mut command = place.command(["run", "--build", "--root", ".", "--progress", "none", &workflow]);
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
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
