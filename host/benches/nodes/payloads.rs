//! Large values on their way to a node and back, against the same bytes through `ssh NODE cat`.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::node::Node;
use super::product::Product;
use super::table::{Bound, Table};

const LARGE: usize = 16 << 20;
const ROUNDS: usize = 5;

/// Values a round: so many that what a run costs besides does not show.
const VALUES: u32 = 48;

/// Bytes that nothing makes shorter, other ones for each seed.
fn noise(mut seed: u64) -> Vec<u8> {
    let next = |_| {
        // xorshift64 (Marsaglia, 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    (0..LARGE / 8).flat_map(next).collect()
}

/// All bytes of a round through `ssh NODE cat`.
fn bare(node: &Node, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    let mut command = node.ssh();
    let mut cat = command.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..VALUES {
                bytes.chunks(256 << 10).for_each(|chunk| to.write_all(chunk).unwrap());
            }
        });
        let mut back = vec![0; 1 << 20];
        let mut left = LARGE * VALUES as usize;
        while left > 0 {
            left -= from.read(&mut back).unwrap();
        }
    });
    let elapsed = began.elapsed();
    assert!(cat.wait().unwrap().success());
    elapsed
}

pub(crate) fn measure(node: &Node, table: &Table) {
    let large = Product::new(&format!(
        r#"
        [tasks.echo]
        run = "bench#noop"
        with = {{ argument = {{ file = "value-${{item}}" }} }}
        executor = "ssh"
        [groups.many]
        task = "echo"
        for-each = {{ range = [0, {VALUES}] }}
        [outputs]
        {}
        "#,
        node.section(4)
    ));
    (0..VALUES).for_each(|at| large.file(&format!("value-{at}"), &noise(u64::from(at) + 1)));
    let bytes = noise(1);
    large.run();
    let rate = |elapsed: Duration| f64::from(VALUES) * 16.0 / elapsed.as_secs_f64();
    let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = rate(bare(node, &bytes));
        let whole = rate(large.run());
        floors.push(floor);
        rates.push(whole);
        ratios.push(whole / floor);
    }
    table.row("16 MiB values through `ssh NODE cat` and back", floors, "MiB/s", Bound::None);
    table.row("16 MiB values into tasks on a node and back", rates, "MiB/s", Bound::None);
    let row = "16 MiB values into tasks on a node and back: against `ssh NODE cat`";
    table.row(row, ratios, "of it", Bound::AtLeast(0.7));
}
