//! The floors of the house, executable: a module imports only from floors below its own.

use std::path::Path;

/// From the ground up. Rooms of one floor do not import each other.
const FLOORS: &[&[&str]] = &[
    &["buffer", "compact", "digest", "id", "names", "streams"],
    &["folder", "model"],
    &["cache", "channel", "interface", "journal", "queue", "report", "schedule", "store", "wire"],
    &["manifest", "runtime"],
    &["executor"],
    &["run", "worker"],
    &["embed"],
    &["cli"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a file of `host/src` stands in: its first folder, or its own name.
fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a file's `crate::` paths lead to, `use crate::{a, b::c}` included.
fn imports(source: &str) -> Vec<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
    };
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            rooms.push(name(after));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    rooms.push(name(&group[start..at]));
                    start = at + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn no_module_imports_from_its_own_floor_or_above() {
    let source = crate::support::repository().join("host/src");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in crate::support::files_below(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let room = room(inside);
        if matches!(&*room, "lib" | "main") {
            continue;
        }
        let here = floor(&room).unwrap_or_else(|| panic!("`{room}` stands on no floor: add it to FLOORS"));
        for import in imports(&std::fs::read_to_string(&path).unwrap()) {
            let Some(there) = floor(&import) else { continue };
            checked += 1;
            if import != room && there >= here {
                wrong.push(format!("{} imports `{import}`", inside.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were seen: the reader of imports is broken");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn groups_of_imports_are_read() {
    let source = "use crate::{a, b::{c, d}, e};\n// crate::f\nlet x = crate::g::h();";
    assert_eq!(imports(source), ["a", "b", "e", "g"]);
}
