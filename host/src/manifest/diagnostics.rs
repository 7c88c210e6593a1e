//! What is wrong with a workflow file, for people. Collects problems and shows them in the file's
//! order; knows nothing of what a workflow is.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use super::excerpt::{self, harmless};
use super::span::Span;

/// Where a problem lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// At this stretch of the file.
    At(Span),
    /// In the file as a whole.
    File,
    /// In this part of the command line, such as `--input book`.
    CommandLine(String),
}

/// One problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, where that can be said.
    pub help: Option<String>,
}

/// All that is wrong with one workflow file. Its `Display` shows each problem with file, line and
/// column, the line itself, and help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    /// The file as the caller named it.
    pub file: String,
    /// The file's text; empty where it could not be read.
    pub source: Arc<str>,
    /// At least one, in the file's order, what concerns the command line first. Only so many are
    /// kept as people can read.
    pub list: Vec<Diagnostic>,
    /// How many more there are.
    pub unlisted: usize,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = harmless(&self.file);
        let lines = excerpt::Lines::new(&self.source);
        for (at, problem) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match &problem.place {
                Place::At(span) => {
                    let (line, column) = lines.position(*span);
                    writeln!(f, "{file}:{line}:{column}: {}", harmless(&problem.message))?;
                    write!(f, "{}", lines.excerpt(*span))?;
                }
                Place::File => writeln!(f, "{file}: {}", harmless(&problem.message))?,
                Place::CommandLine(argument) => {
                    writeln!(f, "{}: {}", harmless(argument), harmless(&problem.message))?;
                }
            }
            if let Some(help) = &problem.help {
                writeln!(f, "help: {}", harmless(help))?;
            }
        }
        match self.unlisted {
            0 => Ok(()),
            unlisted => writeln!(f, "\nand {unlisted} more problems"),
        }
    }
}

/// So many problems are kept; more are counted.
const KEPT: usize = 100;

/// Collects problems while a file is read. Shared by all who read it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: RefCell<Vec<Diagnostic>>,
    unlisted: Cell<usize>,
}

impl Findings {
    pub(super) fn add(&self, place: Place, message: impl Into<String>, help: Option<String>) {
        let mut list = self.list.borrow_mut();
        let problem = Diagnostic { place, message: message.into(), help };
        // One mistake may be met on several ways, as in a task that serves several groups.
        if list.contains(&problem) {
            return;
        }
        if list.len() < KEPT {
            list.push(problem);
        } else {
            self.unlisted.set(self.unlisted.get() + 1);
        }
    }

    /// Whether no more problems are kept. The one that asks is counted, and need not be put in words:
    /// a guess at what was meant takes longer than finding the problem did.
    pub(super) fn full(&self) -> bool {
        let full = self.list.borrow().len() >= KEPT;
        if full {
            self.unlisted.set(self.unlisted.get() + 1);
        }
        full
    }

    /// Adds what was found elsewhere.
    pub(super) fn absorb(&self, other: Self) {
        for problem in other.list.into_inner() {
            self.add(problem.place, problem.message, problem.help);
        }
        self.unlisted.set(self.unlisted.get() + other.unlisted.get());
    }

    pub(super) fn at(&self, span: Span, message: impl Into<String>) {
        self.add(Place::At(span), message, None);
    }

    pub(super) fn at_with_help(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Place::At(span), message, Some(help.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// What was found.
    pub(super) fn into_problems(self, file: String, source: Arc<str>) -> Problems {
        let mut list = self.list.into_inner();
        list.sort_by_key(|problem| match &problem.place {
            Place::CommandLine(_) => (0, Span::default()),
            Place::File => (1, Span::default()),
            Place::At(span) => (2, *span),
        });
        let unlisted = self.unlisted.get();
        Problems { file, source, list, unlisted }
    }
}
