//! Matrices as coloured cells.

use super::colors::{between, SIGNS, VIRIDIS};
use super::plot::{Axis, Image, Scale};
use super::scale::Placed;
use tiny_skia::{IntSize, Pixmap};

/// Colours of a key.
const KEY: usize = 48;

/// What the numbers of a matrix are coloured by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Colors {
    /// From the lowest to the highest; numbers of both signs around 0, in two colours.
    Signs,
    /// By decades, for positive numbers.
    Decades,
    /// From 0 to 1.
    Share,
}

/// A matrix of fewer cells, each the mean of those it stands for; unknown numbers (NaN) do not count.
pub fn shrink(rows: usize, columns: usize, data: &[f64], most: usize) -> (usize, usize, Vec<f64>) {
    let most = most.max(1);
    let (r, c) = (rows.min(most), columns.min(most));
    if (r, c) == (rows, columns) {
        return (rows, columns, data.to_vec());
    }
    let cut = |i: usize, small: usize, large: usize| i * large / small..(i + 1) * large / small;
    let mean = |i: usize, j: usize| {
        let cells = cut(i, r, rows).flat_map(|a| cut(j, c, columns).map(move |b| data[a * columns + b]));
        let (sum, count) = cells.filter(|x| x.is_finite()).fold((0.0, 0), |(s, n), x| (s + x, n + 1));
        if count > 0 {
            sum / f64::from(count)
        } else {
            f64::NAN
        }
    };
    (r, c, (0..r * c).map(|i| mean(i / c, i % c)).collect())
}

/// Colours a matrix. What is not a number is transparent.
pub fn image(rows: usize, columns: usize, data: &[f64], colors: Colors) -> Image {
    let known = data.iter().copied().filter(|x| x.is_finite());
    let (low, high) = known.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let least = known.filter(|x| *x > 0.0).fold(f64::INFINITY, f64::min);
    // Not more than eight decades: rounding has no colours.
    let least = if least.is_finite() { least.max(high * 1e-8) } else { 0.1 };
    let extreme = high.abs().max(low.abs()).max(f64::MIN_POSITIVE);
    let (from, to, stops): (f64, f64, &[[u8; 3]]) = match colors {
        Colors::Share => (0.0, 1.0, &VIRIDIS),
        Colors::Decades if high > 0.0 => (least.log10(), high.log10(), &VIRIDIS),
        _ if low < -1e-9 * extreme => (-extreme, extreme, &SIGNS),
        Colors::Signs | Colors::Decades => (low.min(0.0), high, &VIRIDIS),
    };
    let decades = colors == Colors::Decades && high > 0.0;
    let width = if to > from { to - from } else { 1.0 };
    let color = |x: f64| {
        let x = if decades { x.max(least).log10() } else { x };
        let [r, g, b] = between(stops, (x - from) / width);
        [r, g, b, 255]
    };
    let pixels = data.iter().map(|x| if x.is_finite() { color(*x) } else { [0; 4] }).collect();
    let scale = if decades { Scale::Log } else { Scale::Linear };
    let back = |at: f64| if decades { 10f64.powf(at) } else { at };
    let axis = Placed::new(&Axis::new("", scale).over(back(from), back(from + width)), std::iter::empty(), 5);
    let marks = axis.ticks().into_iter().map(|x| (axis.at(x), axis.say(x))).collect();
    let key = (0..KEY).map(|i| color(back(from + width * i as f64 / (KEY - 1) as f64))).collect();
    Image { rows, columns, pixels, key, marks }
}

/// A matrix as pixels.
pub(super) fn pixmap(image: &Image) -> Option<Pixmap> {
    let bytes = image.pixels.concat();
    Pixmap::from_vec(bytes, IntSize::from_wh(image.columns as u32, image.rows as u32)?)
}

/// A matrix as a PNG in the page itself.
pub fn data_uri(image: &Image) -> String {
    let png = pixmap(image).and_then(|p| p.encode_png().ok()).unwrap_or_default();
    format!("data:image/png;base64,{}", base64(&png))
}

/// RFC 4648.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        let letter = |i: usize| match i <= three.len() {
            true => char::from(LETTERS[(bits >> (18 - 6 * i)) as usize & 63]),
            false => '=',
        };
        [letter(0), letter(1), letter(2), letter(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn cells_are_means() {
        let (r, c, small) = shrink(3, 4, &[1., 3., 5., 7., 1., 3., 5., f64::NAN, 2., 2., 2., 2.], 2);
        assert_eq!((r, c), (2, 2));
        // The first row of three by itself, the other two together.
        assert_eq!(small, [2.0, 6.0, 2.0, 3.0]);
        assert_eq!(shrink(1, 2, &[1.0, 2.0], 128), (1, 2, vec![1.0, 2.0]));
    }

    #[test]
    fn colors_have_their_ends() {
        let signs = image(1, 3, &[-2.0, 0.0, f64::NAN], Colors::Signs);
        assert_eq!(signs.pixels, [[33, 102, 172, 255], [247, 247, 247, 255], [0; 4]]);
        assert_eq!(signs.marks.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["−2", "−1", "0", "1", "2"]);
        let decades = image(1, 3, &[0.0, 1e-4, 1.0], Colors::Decades);
        assert_eq!(decades.pixels, [[68, 1, 84, 255], [68, 1, 84, 255], [253, 231, 37, 255]]);
        for data in [&[f64::NAN][..], &[0.0], &[f64::INFINITY], &[-1.0]] {
            for colors in [Colors::Signs, Colors::Decades, Colors::Share] {
                assert_eq!(image(1, 1, data, colors).pixels.len(), 1);
            }
        }
    }
}
