//! Which reporters a run gets.

use std::io::{self, IsTerminal};

use clap::ValueEnum;

use crate::report::{JsonLines, Plain, Progress, Reporter, Summary, Warnings};

/// How a run shows what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Style {
    /// Bars on a terminal, else plain lines.
    Auto,
    /// A bar for each group.
    Bar,
    /// A line for each start and end, and the guests' lines.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing but failures and warnings.
    None,
}

impl Style {
    /// The reporters, all of which write to standard error.
    pub(super) fn reporters(self) -> Vec<Box<dyn Reporter>> {
        let terminal = io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let err = || Box::new(io::stderr());
        match self {
            Self::Auto if terminal => Self::Bar.reporters(),
            Self::Auto => Self::Plain.reporters(),
            Self::Bar => vec![Box::new(Progress::stderr(color)), Box::new(Summary::new(err(), color))],
            Self::Plain => vec![Box::new(Plain::new(err(), color)), Box::new(Summary::new(err(), color))],
            Self::Json => vec![Box::new(JsonLines::new(err()))],
            Self::None => {
                vec![Box::new(Warnings::new(err(), color)), Box::new(Summary::new(err(), color).quiet())]
            }
        }
    }
}
