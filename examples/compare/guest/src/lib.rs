//! The guest's export: a table, written in one order or the other, and compressed.

use miniz_oxide::deflate::compress_to_vec;

wit_bindgen::generate!({
    world: "squeeze",
    additional_derives: [PartialEq],
});

use exports::example::squeeze::squeezing::{Guest, Layout, Squeezed};

/// The most that DEFLATE does.
const LEVEL: u8 = 10;

struct Component;

impl Guest for Component {
    fn squeeze(csv: String, layout: Layout) -> Result<Squeezed, String> {
        let bytes = compress_to_vec(written(&csv, layout)?.as_bytes(), LEVEL);
        let saved = u32::try_from(csv.len().saturating_sub(bytes.len())).unwrap_or(u32::MAX);
        Ok(Squeezed { layout, bytes, saved })
    }
}

/// The cells, one a line.
fn written(csv: &str, layout: Layout) -> Result<String, String> {
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let width = rows.first().map_or(0, Vec::len);
    if let Some(at) = rows.iter().position(|row| row.len() != width) {
        return Err(format!("line {} has other than {width} cells", at + 1));
    }
    let cells: Vec<&str> = match layout {
        Layout::Rows => rows.into_iter().flatten().collect(),
        Layout::Columns => {
            (0..width).flat_map(|at| rows.iter().filter_map(move |row| row.get(at).copied())).collect()
        }
    };
    Ok(cells.join("\n"))
}

export!(Component);

#[cfg(test)]
mod tests {
    use miniz_oxide::inflate::decompress_to_vec;

    use super::*;

    #[test]
    fn cells_come_back_in_their_order() {
        for (layout, cells) in [(Layout::Rows, "a\n1\nb\n2"), (Layout::Columns, "a\nb\n1\n2")] {
            let squeezed = Component::squeeze("a,1\nb,2\n".to_owned(), layout).unwrap();
            assert_eq!(decompress_to_vec(&squeezed.bytes).unwrap(), cells.as_bytes());
        }
    }

    #[test]
    fn a_ragged_table_is_refused() {
        let refused = Component::squeeze("a,1\nb\n".to_owned(), Layout::Rows);
        assert_eq!(refused, Err("line 2 has other than 2 cells".to_owned()));
    }
}
