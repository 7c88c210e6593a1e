//! The table: rows of medians with their bounds, and which of them were missed.

use std::cell::{Cell, RefCell};

/// What a figure must reach.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// It is there to be known.
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// The table as it is printed.
#[derive(Default)]
pub(crate) struct Table {
    begun: Cell<bool>,
    missed: RefCell<Vec<String>>,
}

impl Table {
    /// Prints a row: the median of `figures`, the least and the most of them, and whether the median
    /// is within `bound`. Gives the median.
    pub(crate) fn row(&self, measure: &str, mut figures: Vec<f64>, unit: &str, bound: Bound) -> f64 {
        self.begin();
        figures.sort_by(f64::total_cmp);
        let (median, least, most) = (figures[figures.len() / 2], figures[0], figures[figures.len() - 1]);
        let (wanted, reached) = match bound {
            Bound::None => (String::new(), None),
            Bound::AtMost(most) => (format!("at most {most}"), Some(median <= most)),
            Bound::AtLeast(least) => (format!("at least {least}"), Some(median >= least)),
        };
        let mark = reached.map_or("", |reached| if reached { "reached" } else { "**missed**" });
        let spread = if figures.len() == 1 { String::new() } else { format!("{least:.2} to {most:.2}") };
        println!("| {measure} | {median:.2} {unit} | {spread} | {wanted} | {mark} |");
        if reached == Some(false) {
            self.missed.borrow_mut().push(measure.to_owned());
        }
        median
    }

    /// Prints a row for what cannot be measured, which counts as missed: `why`, and what helps.
    pub(crate) fn lacks(&self, measure: &str, why: &str) {
        self.begin();
        println!("| {measure} | {why} | | | **missed** |");
        self.missed.borrow_mut().push(format!("{measure}: {why}"));
    }

    fn begin(&self) {
        if !self.begun.replace(true) {
            println!("| measure | median | least to most | must reach | |");
            println!("|---|---|---|---|---|");
        }
    }

    /// Says what was missed.
    pub(crate) fn end(&self) {
        for measure in self.missed.borrow().iter() {
            println!("\nmissed: {measure}");
        }
    }
}
