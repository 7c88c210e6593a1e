//! `flowhost cache`: what is kept for later runs, and how much of it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::exit::Exit;
use super::output::{error, told};
use crate::folder::Size;
use crate::{cache, runtime};

#[derive(clap::Args, Debug)]
pub(super) struct Cache {
    /// As JSON, with sizes in bytes
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
enum CacheError {
    #[error(transparent)]
    Outcomes(#[from] cache::CacheError),
    #[error(transparent)]
    Code(#[from] runtime::CacheError),
}

impl Cache {
    pub(super) fn execute(self) -> Exit {
        let text = match self.text() {
            Ok(text) => text,
            Err(failure) => {
                error(&failure);
                return Exit::Internal;
            }
        };
        told(&text)
    }

    fn text(&self) -> Result<String, CacheError> {
        let cache = cache::Cache::open(None, &[])?;
        let outcomes = (cache.path().to_owned(), cache.size().map_err(cache::CacheError::from)?);
        let parts = [("outcomes", outcomes), ("code", runtime::compiled()?)];
        if self.json {
            let part = |(name, (path, size)): (&str, (std::path::PathBuf, Size))| {
                (name.to_owned(), json!({ "path": path, "entries": size.entries, "bytes": size.bytes }))
            };
            return Ok(serde_json::Value::Object(parts.into_iter().map(part).collect()).to_string());
        }
        let lines = parts.iter().map(|(name, (path, size))| line(name, path, *size));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

fn line(name: &str, path: &Path, size: Size) -> String {
    let mut line = format!("{name:<8}  ");
    let entries = if size.entries == 1 { "file" } else { "files" };
    // A cast loses digits that are not shown.
    let mib = size.bytes as f64 / f64::from(1 << 20);
    let _infallible = write!(line, "{} {entries}, {mib:.1} MiB in {}", size.entries, path.display());
    line
}
