//! Drawing into pixels: plotters' backend by tiny-skia, with letters from a font that comes along.

use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::FontTransform;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use std::convert::Infallible;
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// DejaVu Sans, cut down to the letters of these pictures.
const FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");
/// plotters asks for letters that are larger than it means by so much.
const PLOTTERS: f64 = 1.24;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A picture of pixels that plotters draws on.
pub struct Bitmap<'a> {
    pixels: &'a mut Pixmap,
    /// The picture's own size, in which plotters counts.
    size: (u32, u32),
    transform: Transform,
    font: Option<ttf_parser::Face<'static>>,
}

impl<'a> Bitmap<'a> {
    /// Draws a picture of this size, `zoom` pixels for one of it.
    pub fn new(pixels: &'a mut Pixmap, size: (u32, u32), zoom: f32) -> Self {
        let font = ttf_parser::Face::parse(FONT, 0).ok();
        Self { pixels, size, transform: Transform::from_scale(zoom, zoom), font }
    }

    fn stroke(&mut self, path: Option<Path>, style: &impl BackendStyle) {
        let stroke = Stroke { width: style.stroke_width() as f32, ..Stroke::default() };
        if let Some(path) = path {
            self.pixels.stroke_path(&path, &paint(style.color()), &stroke, self.transform, None);
        }
    }

    fn fill(&mut self, path: Option<Path>, color: BackendColor) {
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(color), FillRule::Winding, self.transform, None);
        }
    }
}

fn paint(color: BackendColor) -> Paint<'static> {
    let (r, g, b) = color.rgb;
    let alpha = (color.alpha.clamp(0.0, 1.0) * 255.0).round() as u8;
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(Color::from_rgba8(r, g, b, alpha));
    paint
}

fn points(path: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, (x, y)) in path.into_iter().enumerate() {
        match i {
            0 => builder.move_to(x as f32, y as f32),
            _ => builder.line_to(x as f32, y as f32),
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

impl DrawingBackend for Bitmap<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }
    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }
    fn present(&mut self) -> Drawn {
        Ok(())
    }
    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }
    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.stroke(points([from, to], false), style);
        Ok(())
    }
    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        let path = points([a, (b.0, a.1), b, (a.0, b.1)], true);
        match fill {
            true => self.fill(path, style.color()),
            false => self.stroke(path, style),
        }
        Ok(())
    }
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.stroke(points(path, false), style);
        Ok(())
    }
    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let path = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        match fill {
            true => self.fill(path, style.color()),
            false => self.stroke(path, style),
        }
        Ok(())
    }
    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.fill(points(path, true), style.color());
        Ok(())
    }
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let Some(font) = &self.font else { return Ok(()) };
        let em = (style.size() / PLOTTERS) as f32;
        let scale = em / f32::from(font.units_per_em());
        let (glyphs, width) = glyphs(font, text);
        // As in an SVG of plotters: dy is 0.76 em, half an ex or less than half.
        let (left, down) = (
            match style.anchor().h_pos {
                HPos::Left => 0.0,
                HPos::Center => -width * scale / 2.0,
                HPos::Right => -width * scale,
            },
            match style.anchor().v_pos {
                VPos::Top => 0.76 * em,
                VPos::Center => 0.27 * em,
                VPos::Bottom => -0.27 * em,
            },
        );
        let turn = match style.transform() {
            FontTransform::None => 0.0,
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
        };
        let place = self
            .transform
            .pre_translate(x as f32, y as f32)
            .pre_concat(Transform::from_rotate(turn))
            .pre_translate(left, down)
            .pre_scale(scale, -scale);
        if let Some(path) = glyphs {
            self.pixels.fill_path(&path, &paint(style.color()), FillRule::Winding, place, None);
        }
        Ok(())
    }
}

/// The outlines of a line of text in units of the font, and how wide it is. What the font lacks is a box.
fn glyphs(font: &ttf_parser::Face<'_>, text: &str) -> (Option<Path>, f32) {
    let mut outline = Outline { builder: PathBuilder::new(), at: 0.0 };
    for c in text.chars() {
        let glyph = font.glyph_index(c).unwrap_or_default();
        font.outline_glyph(glyph, &mut outline);
        if glyph.0 == 0 {
            let unknown = Rect::from_xywh(outline.at + 100.0, 0.0, 1000.0, 1400.0);
            unknown.into_iter().for_each(|r| outline.builder.push_rect(r));
        }
        outline.at += f32::from(font.glyph_hor_advance(glyph).unwrap_or(1200));
    }
    (outline.builder.finish(), outline.at)
}

struct Outline {
    builder: PathBuilder,
    at: f32,
}

impl ttf_parser::OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.builder.move_to(self.at + x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.builder.line_to(self.at + x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.builder.quad_to(self.at + x1, y1, self.at + x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.builder.cubic_to(self.at + x1, y1, self.at + x2, y2, self.at + x, y);
    }
    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_what_pictures_say() {
        let font = ttf_parser::Face::parse(FONT, 0).unwrap();
        for c in ('0'..='9').chain('a'..='z').chain("λ₁σηΣ⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀ‖±×·−≤≥∞…–→()[]%/ éß".chars())
        {
            assert!(font.glyph_index(c).is_some(), "{c}");
        }
        let (path, width) = glyphs(&font, "il\u{4e00}");
        assert!(path.is_some() && width > 0.0);
    }
}
