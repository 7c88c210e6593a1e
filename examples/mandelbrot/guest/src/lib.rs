//! The guest's exports: what the world promises, and nothing of how points are coloured.

mod picture;
mod set;

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:mandelbrot/mandelbrot",
    with: { "flowhost:task/types@0.1.0": flowhost_guest::types },
});

struct Component;

impl Guest for Component {
    fn tile(index: u32, x: f64, y: f64, span: f64) -> Result<Vec<u8>, Failure> {
        let view = set::View::new(x, y, span)?;
        picture::tile(index, |column, row| view.colour(column, row))
    }

    fn assemble(tiles: Vec<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        picture::assemble(&tiles)
    }
}

export!(Component);
