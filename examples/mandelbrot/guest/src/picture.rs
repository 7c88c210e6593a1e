//! The picture: how it is cut into tiles and put together again. Knows nothing of what it shows.

use flowhost_guest::{Failure, OrFail, context, debug, info, progress};

/// The picture's width in pixels.
pub const WIDTH: u32 = 1536;

/// The picture's height in pixels.
pub const HEIGHT: u32 = 1024;

/// A tile's width and height in pixels. Divides the picture's.
const SIDE: u32 = 128;

const ACROSS: u32 = WIDTH / SIDE;
const TILES: u32 = ACROSS * (HEIGHT / SIDE);
const BYTES: usize = (SIDE * SIDE * 3) as usize;

/// The pixels of one tile, as `colour` has them by column and row of the picture.
pub fn tile(index: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Result<Vec<u8>, Failure> {
    if index >= TILES {
        return Err(Failure::permanent(format_args!("there is no tile {index}: the picture has {TILES}")));
    }
    let (left, top) = (index % ACROSS * SIDE, index / ACROSS * SIDE);
    debug!("tile {index}: columns {left} to {}, rows {top} to {}", left + SIDE - 1, top + SIDE - 1);
    let mut pixels = Vec::with_capacity(BYTES);
    for row in 0..SIDE {
        if context::cancelled() {
            return Err(Failure::retryable(format_args!("stopped after {row} of {SIDE} rows")));
        }
        for column in 0..SIDE {
            pixels.extend_from_slice(&colour(left + column, top + row));
        }
        progress::report(u64::from(row + 1), u64::from(SIDE), "rows");
    }
    Ok(pixels)
}

/// The picture as a PNG, from all its tiles in order.
pub fn assemble(tiles: &[Vec<u8>]) -> Result<Vec<u8>, Failure> {
    if tiles.len() != TILES as usize {
        return Err(Failure::permanent(format_args!("{} tiles for a picture of {TILES}", tiles.len())));
    }
    if let Some((index, tile)) = tiles.iter().enumerate().find(|(_, tile)| tile.len() != BYTES) {
        return Err(Failure::permanent(format_args!(
            "tile {index} has {} bytes instead of {BYTES}",
            tile.len()
        )));
    }
    let line = SIDE as usize * 3;
    let mut pixels = Vec::with_capacity(TILES as usize * BYTES);
    for tiles in tiles.chunks(ACROSS as usize) {
        for row in 0..SIDE as usize {
            for tile in tiles {
                pixels.extend_from_slice(&tile[row * line..(row + 1) * line]);
            }
        }
    }
    let picture = encode(&pixels).or_permanent()?;
    info!("{WIDTH} by {HEIGHT} pixels, {} KiB", picture.len() / 1024);
    Ok(picture)
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flowhost_guest::testing::Host;

    use super::*;

    /// A colour that tells where it is.
    fn place(column: u32, row: u32) -> [u8; 3] {
        [(column / 8) as u8, (row / 8) as u8, ((column + row) % 8) as u8]
    }

    #[test]
    fn tiles_go_back_to_where_they_were_cut() {
        let tiles: Vec<_> = (0..TILES).map(|index| tile(index, place).unwrap()).collect();
        let picture = assemble(&tiles).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (WIDTH, HEIGHT));
        for (at, pixel) in pixels.chunks(3).enumerate() {
            let (column, row) = (at as u32 % WIDTH, at as u32 / WIDTH);
            assert_eq!(pixel, place(column, row), "column {column}, row {row}");
        }
    }

    #[test]
    fn a_tile_tells_how_far_it_has_come() {
        let host = Host::start();
        tile(13, place).unwrap();
        assert_eq!(host.lines(), ["tile 13: columns 128 to 255, rows 128 to 255"]);
        let progress = host.progress();
        assert_eq!(progress.len(), 128);
        assert!(progress.iter().all(|report| report.total == Some(128)));
        assert_eq!(progress.last().unwrap().done, 128);
    }

    #[test]
    fn a_cancelled_tile_stops() {
        let host = Host::start();
        host.cancel();
        assert_eq!(tile(0, place), Err(Failure::retryable("stopped after 0 of 128 rows")));
        assert!(host.progress().is_empty());
    }

    #[test]
    fn what_is_no_tile_is_refused_for_good() {
        let missing = tile(TILES, place).unwrap_err();
        assert_eq!(missing, Failure::permanent("there is no tile 96: the picture has 96"));
        assert!(assemble(&[]).unwrap_err().is_permanent());
        let mut tiles = vec![vec![0; BYTES]; TILES as usize];
        tiles[5].pop();
        assert_eq!(
            assemble(&tiles).unwrap_err(),
            Failure::permanent("tile 5 has 49151 bytes instead of 49152")
        );
    }
}
