//! Named figures that tasks report, and their sums.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Usage;

/// Bytes of a figure's name at most.
const NAME: usize = 64;

/// Names of one attempt at most.
const NAMES: usize = 32;

/// Names in a sum over attempts at most: what is kept of a run stays small, whatever its tasks say.
const NAMES_OF_ALL: usize = 256;

/// Figures by name, in the order of the names. Every amount is finite.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Arc<str>, f64)>")]
pub struct Metrics(Vec<(Arc<str>, f64)>);

/// What was read may come from anybody: it is held to what a sum may be.
impl TryFrom<Vec<(Arc<str>, f64)>> for Metrics {
    type Error = MetricError;

    fn try_from(read: Vec<(Arc<str>, f64)>) -> Result<Self, MetricError> {
        if read.len() > NAMES_OF_ALL {
            return Err(MetricError::TooManyNames);
        }
        if !read.iter().all(|(_, amount)| amount.is_finite()) {
            return Err(MetricError::NotFinite);
        }
        let ascending = read.iter().zip(read.iter().skip(1)).all(|((one, _), (next, _))| one < next);
        // Secrets in names were replaced by what no guest could write.
        let harmless = |name: &str| !name.chars().any(char::is_control);
        if !ascending || !read.iter().all(|(name, _)| harmless(name)) {
            return Err(MetricError::InvalidName);
        }
        Ok(Self(read))
    }
}

/// Why a figure is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetricError {
    /// The name is not 1 to 64 ASCII letters, digits, `-`, `_`, `.` and `/`.
    #[error("the name is not 1 to {NAME} letters, digits, `-`, `_`, `.` and `/`")]
    InvalidName,
    /// The amount, or the sum, is infinite or no number.
    #[error("the amount, or the sum, is not finite")]
    NotFinite,
    /// An attempt has figures of 32 names already.
    #[error("the attempt has figures of {NAMES} names already")]
    TooManyNames,
}

impl Metrics {
    /// Adds to an attempt's figure.
    ///
    /// # Errors
    /// Fails when the attempt cannot have that figure. Nothing has changed then.
    pub fn add(&mut self, name: &str, amount: f64) -> Result<(), MetricError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if !(1..=NAME).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(MetricError::InvalidName);
        }
        match self.find(name) {
            Ok(at) => {
                if let Some((_, sum)) = self.0.get_mut(at) {
                    let more = *sum + amount;
                    *sum = if more.is_finite() { more } else { return Err(MetricError::NotFinite) };
                }
            }
            Err(_) if !amount.is_finite() => return Err(MetricError::NotFinite),
            Err(_) if self.0.len() >= NAMES => return Err(MetricError::TooManyNames),
            // What follows adds to nothing, as if it had been 0: no sum is -0.
            Err(at) => self.0.insert(at, (Arc::from(name), amount + 0.0)),
        }
        Ok(())
    }

    /// Names and amounts, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, f64)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same figures under other names. Those that get one name are summed.
    #[must_use]
    pub fn renamed(&self, mut rename: impl FnMut(Arc<str>) -> Arc<str>) -> Self {
        let mut renamed = Self::default();
        for (name, amount) in &self.0 {
            // There are no more than before, so there is room.
            renamed.add_all(&Self(vec![(rename(Arc::clone(name)), *amount)]));
        }
        renamed
    }

    /// Adds another's figures. Says whether all of them were taken: there is room for so many names. A
    /// sum that is too large stays at the largest number.
    fn add_all(&mut self, others: &Self) -> bool {
        let mut whole = true;
        for (name, amount) in &others.0 {
            match self.find(name) {
                Ok(at) => {
                    if let Some((_, sum)) = self.0.get_mut(at) {
                        *sum = (*sum + amount).clamp(f64::MIN, f64::MAX);
                    }
                }
                Err(at) if self.0.len() < NAMES_OF_ALL => self.0.insert(at, (Arc::clone(name), *amount)),
                Err(_) => whole = false,
            }
        }
        whole
    }

    /// Where the figure of this name is, or would be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

/// What attempts used and reported, summed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// From the moments the guests started to their ends, of all attempts.
    pub guest: Duration,
    /// Units of fuel of all attempts; none where it was counted in none.
    pub fuel: Option<u64>,
    /// Figures of the attempts that succeeded.
    pub metrics: Metrics,
}

impl Totals {
    /// Adds what one attempt used. Says whether all of its figures were taken: a sum has room for 256
    /// names.
    pub fn add(&mut self, usage: &Usage) -> bool {
        self.guest = self.guest.saturating_add(usage.wall);
        if let Some(fuel) = usage.fuel {
            self.fuel = Some(self.fuel.unwrap_or(0).saturating_add(fuel));
        }
        usage.metrics.is_empty() || self.metrics.add_all(&usage.metrics)
    }

    /// Adds other sums. Says whether all of their figures were taken.
    pub fn add_all(&mut self, other: &Self) -> bool {
        self.guest = self.guest.saturating_add(other.guest);
        if let Some(fuel) = other.fuel {
            self.fuel = Some(self.fuel.unwrap_or(0).saturating_add(fuel));
        }
        self.metrics.add_all(&other.metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &Metrics) -> Vec<(&str, f64)> {
        metrics.iter().map(|(name, amount)| (&**name, amount)).collect()
    }

    #[test]
    fn figures_are_summed_by_name() {
        let mut metrics = Metrics::default();
        for (name, amount) in [("tokens", 3.0), ("price-usd", 0.25), ("tokens", -1.0), ("a/b_c.D", -0.0)] {
            metrics.add(name, amount).unwrap();
        }
        assert_eq!(shown(&metrics), [("a/b_c.D", 0.0), ("price-usd", 0.25), ("tokens", 2.0)]);
    }

    #[test]
    fn figures_that_get_one_name_are_summed() {
        let mut metrics = Metrics::default();
        for name in ["a", "b", "c"] {
            metrics.add(name, 1.5).unwrap();
        }
        let renamed = metrics.renamed(|name| if &*name == "b" { name } else { Arc::from("x") });
        assert_eq!(shown(&renamed), [("b", 1.5), ("x", 3.0)]);
    }

    #[test]
    fn sums_are_added_as_what_they_were_made_of() {
        let usage = |seconds: u64, fuel: Option<u64>, tokens: f64| {
            let mut metrics = Metrics::default();
            metrics.add("tokens", tokens).unwrap();
            Usage { wall: Duration::from_secs(seconds), fuel, metrics, ..Usage::default() }
        };
        let all = [usage(1, None, 2.0), usage(2, Some(7), 3.0), usage(4, Some(1), -1.0)];
        let sum = |some: &[Usage]| {
            let mut totals = Totals::default();
            some.iter().for_each(|one| assert!(totals.add(one)));
            totals
        };
        for at in 0..=all.len() {
            let mut totals = sum(&all[..at]);
            assert!(totals.add_all(&sum(&all[at..])));
            assert_eq!(totals, sum(&all));
        }
    }

    #[test]
    fn what_is_no_figure_changes_nothing() {
        let mut metrics = Metrics::default();
        metrics.add("most", f64::MAX).unwrap();
        let long = "n".repeat(65);
        for name in ["", &long, "ü", "a b", "\x1b[2J", "a\n"] {
            assert_eq!(metrics.add(name, 1.0), Err(MetricError::InvalidName), "{name:?}");
        }
        for (name, amount) in
            [("new", f64::NAN), ("new", f64::INFINITY), ("most", f64::MAX), ("most", f64::NAN)]
        {
            assert_eq!(metrics.add(name, amount), Err(MetricError::NotFinite), "{name} {amount}");
        }
        assert_eq!(shown(&metrics), [("most", f64::MAX)]);
        for number in 1..NAMES {
            metrics.add(&number.to_string(), 1.0).unwrap();
        }
        assert_eq!(metrics.add("one-more", 1.0), Err(MetricError::TooManyNames));
        metrics.add("1", 1.0).unwrap();
        metrics.add(&"n".repeat(64), 1.0).unwrap_err();
    }

    #[test]
    fn totals_have_room_for_so_many_names() {
        let usage = |name: String, amount| {
            let mut metrics = Metrics::default();
            metrics.add(&name, amount).unwrap();
            Usage { wall: Duration::from_millis(2), fuel: Some(5), metrics, ..Usage::default() }
        };
        let mut totals = Totals::default();
        assert!(totals.add(&Usage::default()));
        assert_eq!(totals.fuel, None);
        for number in 0..NAMES_OF_ALL {
            assert!(totals.add(&usage(number.to_string(), 1.0)));
        }
        assert!(!totals.add(&usage("one-more".to_owned(), 1.0)));
        assert!(totals.add(&usage("7".to_owned(), f64::MAX)));
        assert!(totals.add(&usage("7".to_owned(), f64::MAX)));
        assert_eq!(totals.metrics.iter().count(), NAMES_OF_ALL);
        assert!(totals.metrics.iter().any(|(name, amount)| &**name == "7" && amount == f64::MAX));
        assert_eq!(totals.fuel, Some(5 * (NAMES_OF_ALL as u64 + 3)));
        assert_eq!(totals.guest, Duration::from_millis(2 * (NAMES_OF_ALL as u64 + 3)));
    }
}
