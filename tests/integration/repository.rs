//! The repository's own rules.

use std::process::Command;

use crate::support::repository;

/// The paths that git tracks.
fn tracked() -> Vec<String> {
    let output = Command::new("git").arg("ls-files").current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn no_file_holds_a_machines_paths_or_what_was_built() {
    let mut wrong = Vec::new();
    for path in tracked() {
        if path.ends_with(".wasm") || path.contains("/target/") || path.ends_with(".snap.new") {
            wrong.push(format!("{path}: built from source, not committed"));
        }
        let Ok(text) = std::fs::read_to_string(repository().join(&path)) else { continue };
        let here = repository().display().to_string();
        let home = format!("{}/.cargo", std::env::var("HOME").unwrap());
        for place in [here, home] {
            if text.contains(&place) {
                wrong.push(format!("{path} holds {place}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_dependency_has_a_reason() {
    let reasons = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let mut missing = Vec::new();
    for manifest in tracked().iter().filter(|path| path.ends_with("Cargo.toml") && !path.contains("guests/"))
    {
        let text = std::fs::read_to_string(repository().join(manifest)).unwrap();
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]") && !line.contains("metadata");
            } else if in_dependencies && let Some(end) = line.find([' ', '.', '=']) {
                let name = &line[..end];
                if !name.is_empty()
                    && name != "flowhost"
                    && !name.starts_with('#')
                    && !reasons.contains(&format!("`{name}`"))
                {
                    missing.push(format!("{name} ({manifest})"));
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "docs/architecture.md says why each dependency is there");
}

#[test]
fn the_engine_is_the_one_that_is_locked() {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let package = "name = \"wasmtime\"\nversion = \"";
    let locked = lock.split_once(package).unwrap().1.split('"').next().unwrap();
    let source = std::fs::read_to_string(repository().join("host/src/runtime/engine.rs")).unwrap();
    // Cached outcomes are those of one engine.
    assert!(source.contains(&format!("ENGINE: &str = \"wasmtime {locked}\"")), "wasmtime {locked} is locked");
}

#[test]
fn the_tests_that_the_security_page_names_exist() {
    let page = std::fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let sources: String = tracked()
        .iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| std::fs::read_to_string(repository().join(path)).unwrap())
        .collect();
    // Between backticks is every second piece. Names of tests are sentences; other names have at most three words.
    let spans = page.split('`').skip(1).step_by(2);
    let names: Vec<_> = spans
        .filter(|span| {
            span.split('_').count() > 3 && span.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        })
        .collect();
    assert!(names.len() > 30, "the page names {} tests", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "there is no test of these names: {missing:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in tracked().iter().filter(|path| path.ends_with(".md")) {
        let file = repository().join(path);
        let text = std::fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            if !file.parent().unwrap().join(target).exists() {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
