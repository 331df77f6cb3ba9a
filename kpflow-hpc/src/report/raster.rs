//! Pictures as PNG.

use super::bitmap::Bitmap;
use super::cells::pixmap;
use super::draw;
use super::plot::Plot;
use crate::error::{Error, Result};
use tiny_skia::{FilterQuality, Pixmap, PixmapPaint, Transform};

/// A PNG has twice as many pixels as the picture in a page.
const ZOOM: f32 = 2.0 / draw::FINE as f32;

/// A picture as PNG, on white.
pub fn png(plot: &Plot) -> Result<Vec<u8>> {
    let fail = |what: String| Error::run(format!("a picture cannot be drawn as PNG: {what}"));
    let size = draw::size(plot);
    let side = |n: u32| (n as f32 * ZOOM).round() as u32;
    let new = || Pixmap::new(side(size.0), side(size.1)).ok_or_else(|| fail("it is too large".into()));
    let (mut canvas, mut chart) = (new()?, new()?);
    canvas.fill(tiny_skia::Color::WHITE);
    let place = draw::onto(plot, Bitmap::new(&mut chart, size, ZOOM)).map_err(|e| fail(e.to_string()))?;
    if let Some((image, cells)) = plot.image.as_ref().and_then(|i| Some((i, pixmap(i)?))) {
        let [x, y, w, h] = place.map(|v| v as f32 * ZOOM);
        let (across, down) = (w / image.columns.max(1) as f32, h / image.rows.max(1) as f32);
        let paint = PixmapPaint { quality: FilterQuality::Nearest, ..PixmapPaint::default() };
        canvas.draw_pixmap(0, 0, cells.as_ref(), &paint, Transform::from_row(across, 0.0, 0.0, down, x, y), None);
    }
    canvas.draw_pixmap(0, 0, chart.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
    canvas.encode_png().map(marked).map_err(|e| fail(e.to_string()))
}

/// What every PNG says, by which it is known again: the keyword and text of its tEXt chunk (W3C PNG
/// § 11.3.3).
pub const MARK: &[u8] = b"Software\0kpflow report";

/// A PNG that says who made it, behind its header.
fn marked(png: Vec<u8>) -> Vec<u8> {
    // The signature has 8 bytes, the header's chunk 25.
    const AT: usize = 33;
    if png.len() < AT {
        return png;
    }
    let chunk = [b"tEXt", MARK].concat();
    let size = (MARK.len() as u32).to_be_bytes();
    [&png[..AT], &size, &chunk, &crc(&chunk).to_be_bytes(), &png[AT..]].concat()
}

/// The check sum of a chunk (ISO 3309).
fn crc(bytes: &[u8]) -> u32 {
    let bit = |c: u32, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 };
    !bytes.iter().fold(!0, |c, b| (0..8).fold(c ^ u32::from(*b), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sum_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc(b"IEND"), 0xAE42_6082);
    }
}
