//! `cargo bench --bench nodes`: what it costs that tasks execute on a node which ssh reaches, as ratios to floors that
//! are measured in the same run. It starts its own `sshd` on loopback. With words after `--`, only measures whose
//! name contains one of them are taken.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints its figures"
)]

#[path = "../speed/component.rs"]
mod component;
mod node;
mod payloads;
mod product;
mod rate;
mod start;
#[path = "../speed/table.rs"]
mod table;

use node::Node;
use table::Table;

type Measure = fn(&Node, &Table);

/// Each with the name that filters know it by.
const MEASURES: [(&str, Measure); 3] =
    [("start", start::measure), ("rate", rate::measure), ("payloads", payloads::measure)];

fn main() {
    // Cargo itself passes `--bench`.
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter));
    let table = Table::default();
    match Node::start() {
        Some(node) => {
            for (_, measure) in MEASURES.iter().filter(|(name, _)| wanted(name)) {
                measure(&node, &table);
            }
        }
        None => table.lacks("a node", "there is no sshd: install openssh-server and openssh-client"),
    }
    table.end();
}
