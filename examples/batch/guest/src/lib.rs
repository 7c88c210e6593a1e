//! The guest's exports, and what they do: a few lines of CSV become sums by species.

use std::collections::BTreeMap;

wit_bindgen::generate!({
    world: "penguins",
    additional_derives: [PartialEq],
});

use exports::example::penguins::weighing::{Average, Guest, Summary, Tally};

/// Columns of the file.
const SPECIES: usize = 0;
const GRAMS: usize = 5;

struct Component;

impl Guest for Component {
    fn weigh(lines: Vec<String>) -> Result<Vec<Tally>, String> {
        let mut sums = Sums::default();
        for line in lines.iter().filter(|line| !line.starts_with("species,")) {
            let columns: Vec<&str> = line.split(',').collect();
            let (Some(species), Some(grams)) = (columns.get(SPECIES), columns.get(GRAMS)) else {
                return Err(format!("`{line}` has too few columns"));
            };
            let grams = grams.parse().map_err(|_| format!("`{line}` says no weight"))?;
            sums.add(species, 1, grams);
        }
        let tally = |(species, (penguins, grams))| Tally { species, penguins, grams };
        Ok(sums.0.into_iter().map(tally).collect())
    }

    fn summarise(chunks: Vec<Result<Vec<Tally>, String>>) -> Summary {
        let mut sums = Sums::default();
        let mut problems = Vec::new();
        for chunk in chunks {
            match chunk {
                Ok(tallies) => tallies.iter().for_each(|it| sums.add(&it.species, it.penguins, it.grams)),
                Err(problem) => problems.push(problem),
            }
        }
        let average = |(species, (penguins, grams)): (String, (u32, u64))| {
            // No flock weighs more than a float can tell.
            Average { species, penguins, grams: grams as f64 / f64::from(penguins) }
        };
        Summary { species: sums.0.into_iter().map(average).collect(), problems }
    }
}

/// Penguins and grams by species.
#[derive(Default)]
struct Sums(BTreeMap<String, (u32, u64)>);

impl Sums {
    fn add(&mut self, species: &str, penguins: u32, grams: u64) {
        let sum = self.0.entry(species.to_owned()).or_default();
        sum.0 += penguins;
        sum.1 += grams;
    }
}

export!(Component);

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year",
        "Adelie,Torgersen,39.1,18.7,181,3750,male,2007",
        "Adelie,Torgersen,40.3,18,195,3250,female,2007",
    ];

    fn weigh(lines: &[&str]) -> Result<Vec<Tally>, String> {
        Component::weigh(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn lines_are_added_up_without_the_header() {
        let adelie = Tally { species: "Adelie".to_owned(), penguins: 2, grams: 7000 };
        assert_eq!(weigh(&LINES), Ok(vec![adelie]));
    }

    #[test]
    fn a_line_without_a_weight_is_named() {
        let missing = "Adelie,Torgersen,NA,NA,NA,NA,NA,2007";
        assert_eq!(weigh(&[missing]), Err(format!("`{missing}` says no weight")));
    }

    #[test]
    fn chunks_are_put_together_and_their_problems_kept() {
        let chunks = vec![weigh(&LINES[..2]), Err("no".to_owned()), weigh(&LINES[2..])];
        let summary = Component::summarise(chunks);
        let adelie = Average { species: "Adelie".to_owned(), penguins: 2, grams: 3500.0 };
        assert_eq!(summary, Summary { species: vec![adelie], problems: vec!["no".to_owned()] });
    }
}
