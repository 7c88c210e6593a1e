//! The guest's exports: a permutation test, some shuffles at a time, in whole numbers throughout.

wit_bindgen::generate!({
    world: "chance",
    additional_derives: [PartialEq],
});

use exports::example::chance::testing::{Guest, Tally, Verdict};

/// Columns of the file.
const SPECIES: usize = 0;
const GRAMS: usize = 5;

struct Component;

impl Guest for Component {
    fn shuffle(csv: String, one: String, other: String, seed: u64, times: u32) -> Result<Tally, String> {
        let (ones, others) = (weights(&csv, &one), weights(&csv, &other));
        for (species, weights) in [(&one, &ones), (&other, &others)] {
            if weights.is_empty() {
                return Err(format!("no {species} was weighed"));
            }
        }
        let first = ones.len();
        let mut all = [ones, others].concat();
        let real = difference(&all, first);
        let mut random = Random(seed);
        let mut as_far = 0;
        for _ in 0..times {
            // The first places decide who is of which species.
            for at in 0..first {
                let from = at + random.below((all.len() - at) as u64) as usize;
                all.swap(at, from);
            }
            as_far += u64::from(difference(&all, first) >= real);
        }
        Ok(Tally { shuffles: u64::from(times), as_far })
    }

    fn judge(tallies: Vec<Tally>) -> Verdict {
        let shuffles = tallies.iter().map(|tally| tally.shuffles).sum();
        let as_far = tallies.iter().map(|tally| tally.as_far).sum();
        Verdict { shuffles, as_far, chance: as_far as f64 / shuffles as f64 }
    }
}

/// What the penguins of a species weigh that were weighed.
fn weights(csv: &str, species: &str) -> Vec<u64> {
    let weight = |line: &str| {
        let mut columns = line.split(',');
        (columns.nth(SPECIES)? == species).then(|| columns.nth(GRAMS - SPECIES - 1)?.parse().ok())?
    };
    csv.lines().filter_map(weight).collect()
}

/// How far the averages of the `first` and of the others are from each other, times the numbers of both, so
/// that it is a whole number.
fn difference(all: &[u64], first: usize) -> u64 {
    let (ones, others) = all.split_at(first);
    let sum = |some: &[u64]| some.iter().sum::<u64>();
    (sum(ones) * others.len() as u64).abs_diff(sum(others) * ones.len() as u64)
}

/// SplitMix64, by Sebastiano Vigna.
struct Random(u64);

impl Random {
    /// From 0 to `bound`, without it.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}

export!(Component);

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year
a,x,1,1,1,10,male,2007
a,x,1,1,1,NA,male,2007
a,x,1,1,1,20,male,2007
b,x,1,1,1,1000,male,2007
b,x,1,1,1,1000,male,2007
";

    fn shuffle(csv: &str, seed: u64) -> Result<Tally, String> {
        Component::shuffle(csv.to_owned(), "a".to_owned(), "b".to_owned(), seed, 3_000)
    }

    #[test]
    fn as_far_as_they_can_be_is_one_order_in_three() {
        let tally = shuffle(CSV, 7).unwrap();
        assert_eq!(tally.shuffles, 3_000);
        // {10, 20} against {1000, 1000}, or the other way round: two of the six ways to choose.
        assert!((900..1_100).contains(&tally.as_far), "{}", tally.as_far);
        assert_eq!(shuffle(CSV, 7), Ok(tally));
    }

    #[test]
    fn a_species_that_is_not_there_is_named() {
        assert_eq!(shuffle("species\n", 7), Err("no a was weighed".to_owned()));
    }

    #[test]
    fn tallies_are_added_up() {
        let verdict =
            Component::judge(vec![Tally { shuffles: 30, as_far: 2 }, Tally { shuffles: 10, as_far: 3 }]);
        assert_eq!(verdict, Verdict { shuffles: 40, as_far: 5, chance: 0.125 });
    }
}
