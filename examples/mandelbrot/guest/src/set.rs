//! The Mandelbrot set: which colour a pixel of the picture has. Knows nothing of tiles or files.

use flowhost_guest::Failure;

use crate::picture::{HEIGHT, WIDTH};

/// Points that stay near for so many steps count as members of the set.
const STEPS: u32 = 2000;

/// A pixel's colour is the mean of this many points across and as many down.
const POINTS: u32 = 2;

/// Points farther out never come back. Larger than 2, so that the smooth count is smooth.
const FAR: f64 = 256.0;

/// Steps for one round through the palette.
const ROUND: f64 = 48.0;

/// The part of the complex plane that the picture shows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct View {
    left: f64,
    top: f64,
    pixel: f64,
}

impl View {
    /// The part around `x` + `y`i that is `span` wide.
    pub fn new(x: f64, y: f64, span: f64) -> Result<Self, Failure> {
        if !(x.is_finite() && y.is_finite()) {
            return Err(Failure::permanent(format_args!("the centre {x} + {y}i is not a point")));
        }
        let pixel = span / f64::from(WIDTH);
        // Below this the neighbours of a point near 1 are the same number.
        if !(span.is_finite() && pixel > 1e-15) {
            return Err(Failure::permanent(format_args!("a span of {span} is too small or no width at all")));
        }
        Ok(Self { left: x - pixel * f64::from(WIDTH) / 2.0, top: y + pixel * f64::from(HEIGHT) / 2.0, pixel })
    }

    /// Red, green and blue of a pixel, counted from the upper left.
    pub fn colour(&self, column: u32, row: u32) -> [u8; 3] {
        let mut sum = [0.0; 3];
        for point in 0..POINTS * POINTS {
            let across = (f64::from(point % POINTS) + 0.5) / f64::from(POINTS);
            let down = (f64::from(point / POINTS) + 0.5) / f64::from(POINTS);
            let x = self.left + (f64::from(column) + across) * self.pixel;
            let y = self.top - (f64::from(row) + down) * self.pixel;
            if let Some(steps) = escape(x, y) {
                for (sum, channel) in sum.iter_mut().zip(palette(steps)) {
                    *sum += channel;
                }
            }
        }
        sum.map(|channel| (channel / f64::from(POINTS * POINTS) * 255.0).round() as u8)
    }
}

/// After how many steps the point leaves, with a fraction so that neighbours differ smoothly;
/// `None` for members of the set.
fn escape(x: f64, y: f64) -> Option<f64> {
    // Most members lie in the main cardioid and the circle left of it, where no steps are needed.
    let q = (x - 0.25).powi(2) + y * y;
    if q * (q + x - 0.25) <= 0.25 * y * y || (x + 1.0).powi(2) + y * y <= 0.0625 {
        return None;
    }
    let (mut a, mut b) = (x, y);
    for step in 1..=STEPS {
        let (aa, bb) = (a * a, b * b);
        if aa + bb > FAR * FAR {
            let beyond = ((aa + bb).ln() / 2.0 / FAR.ln()).log2();
            return Some((f64::from(step) - beyond).max(0.0));
        }
        b = 2.0 * a * b + y;
        a = aa - bb + x;
    }
    None
}

/// The colour of points that leave after so many steps, each channel from 0 to 1.
fn palette(steps: f64) -> [f64; 3] {
    /// Deep blue, light blue, white, amber, dark, and again.
    const STOPS: [[f64; 3]; 5] =
        [[0.0, 0.03, 0.39], [0.13, 0.42, 0.80], [0.93, 1.0, 1.0], [1.0, 0.67, 0.0], [0.05, 0.01, 0.05]];
    let place = (steps / ROUND).sqrt().fract() * STOPS.len() as f64;
    let stop = place as usize;
    let (from, to) = (STOPS[stop % STOPS.len()], STOPS[(stop + 1) % STOPS.len()]);
    let part = place.fract();
    // Ease in and out, so that no ring of a stop's own colour is seen.
    let part = part * part * (3.0 - 2.0 * part);
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_never_leave() {
        for (x, y) in [(0.0, 0.0), (-1.0, 0.0), (0.2, 0.0), (0.0, 1.0), (-2.0, 0.0), (-0.125, 0.743)] {
            assert_eq!(escape(x, y), None, "{x} + {y}i");
        }
    }

    #[test]
    fn points_outside_leave_the_sooner_the_farther() {
        let steps = [(3.0, 0.0), (1.0, 1.0), (0.4, 0.4), (0.26, 0.0)].map(|(x, y)| escape(x, y).unwrap());
        assert!(steps.is_sorted(), "{steps:?}");
    }

    #[test]
    fn neighbours_have_like_counts() {
        let mut before = escape(0.5, 0.5).unwrap();
        for step in 1..=1000 {
            let now = escape(0.5 + f64::from(step) / 1000.0, 0.5).unwrap();
            assert!((now - before).abs() < 0.1, "{before} to {now} at step {step}");
            before = now;
        }
    }

    #[test]
    fn the_palette_closes() {
        let end = palette(ROUND * 0.999_999);
        let start = palette(0.0);
        for channel in 0..3 {
            assert!((end[channel] - start[channel]).abs() < 0.01, "{end:?} {start:?}");
        }
    }

    #[test]
    fn a_view_must_be_a_part_of_the_plane() {
        for (x, y, span) in [
            (f64::NAN, 0.0, 3.0),
            (0.0, f64::INFINITY, 3.0),
            (0.0, 0.0, 0.0),
            (0.0, 0.0, -1.0),
            (0.0, 0.0, f64::NAN),
            (0.0, 0.0, 1e-13),
        ] {
            assert!(View::new(x, y, span).unwrap_err().is_permanent(), "{x} {y} {span}");
        }
    }

    #[test]
    fn the_picture_is_symmetric_about_the_real_axis() {
        let view = View::new(-0.5, 0.0, 3.0).unwrap();
        for column in (0..WIDTH).step_by(97) {
            assert_eq!(view.colour(column, 300), view.colour(column, HEIGHT - 1 - 300), "column {column}");
        }
    }
}
