//! Drawing a plot as SVG.

use super::cells;
use super::plot::{thin, Axis, Image, Layer, Plot, Point, Scale};
use super::scale::{axes, Placed};
use super::style::Ink;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<D> = DrawingArea<D, Shift>;
type Chart<'a, D> = ChartContext<'a, D, Cartesian2d<Placed, Placed>>;
type Drawn<D> = Result<(), DrawingAreaErrorKind<<D as DrawingBackend>::ErrorType>>;

/// plotters counts in whole pixels: so many of them are one of the picture.
pub const FINE: i32 = 4;
/// The size of letters, in pixels of the picture.
const LETTERS: f64 = 11.5;
/// plotters divides what it is asked for.
const PLOTTERS: f64 = 1.24;
const LINE: i32 = 17;
/// More points than this on one curve are not seen; and what all curves of a picture have together, if that leaves `LEAST` to each.
const MOST: usize = 400;
const POINTS: usize = 4000;
const LEAST: usize = 48;

/// A drawn picture.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// SVG in the light colours, without background, the image within it.
    pub svg: String,
    /// Width and height.
    pub size: (u32, u32),
}

fn color(ink: Ink, alpha: f64) -> RGBAColor {
    let [r, g, b] = ink.rgb();
    RGBColor(r, g, b).mix(alpha)
}

fn style(ink: Ink, width: f64) -> ShapeStyle {
    color(ink, 1.0).stroke_width((width * f64::from(FINE)).round() as u32)
}

fn letters(size: f64, ink: Ink) -> TextStyle<'static> {
    let size = size * PLOTTERS * f64::from(FINE);
    TextStyle { color: color(ink, 1.0).to_backend_color(), ..TextStyle::from(("sans-serif", size).into_font()) }
}

/// About how wide words are, in pixels of the picture.
fn width_of(text: &str, size: f64) -> f64 {
    let one = |c: char| match c {
        'i' | 'l' | 'j' | '.' | ',' | ' ' | '|' | '·' | '⁻' => 0.36,
        'm' | 'w' | 'M' | 'W' => 0.86,
        '⁰'..='⁹' | '²' | '³' | '¹' => 0.4,
        c if c.is_uppercase() => 0.7,
        _ => 0.57,
    };
    size * text.chars().map(one).sum::<f64>()
}

/// Words cut to a width.
fn cut(text: &str, width: f64, size: f64) -> String {
    if width_of(text, size) <= width {
        return text.into();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width_of(&short, size) + 1.5 * size > width {
            break;
        }
        short.push(c);
    }
    short + "…"
}

/// Draws a plot as SVG. Where the drawing library fails, the picture says so.
pub fn draw(plot: &Plot) -> Drawing {
    let size = size(plot);
    let mut svg = String::new();
    let drawn = onto(plot, SVGBackend::with_string(&mut svg, size));
    let place = drawn.unwrap_or_else(|e| {
        let words = super::text::escape(&e.to_string());
        svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text y=\"80\" font-size=\"48\">{words}</text></svg>");
        [0.0; 4]
    });
    if let Some(image) = &plot.image {
        let ([x, y, w, h], data) = (place, cells::data_uri(image));
        let tag = format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"{data}\"/>\n"
        );
        // Just after the opening tag: below everything.
        let after = svg.find('>').map_or(0, |i| i + 1);
        svg.insert_str(after, &tag);
    }
    Drawing { svg, size }
}

/// Draws all but the image of a plot, and tells where that belongs: x, y, width, height.
pub fn onto<D: DrawingBackend>(
    plot: &Plot,
    backend: D,
) -> Result<[f64; 4], DrawingAreaErrorKind<<D as DrawingBackend>::ErrorType>> {
    let mut place = [0.0; 4];
    render(plot, &backend.into_drawing_area(), &mut place)?;
    Ok(place)
}

/// The size of a picture as plotters counts.
pub fn size(plot: &Plot) -> (u32, u32) {
    let (width, height) = extent(plot);
    ((width * FINE) as u32, (height * FINE) as u32)
}

/// Width and height in pixels of the page.
fn extent(plot: &Plot) -> (i32, i32) {
    match (plot.image.is_some(), plot.wide) {
        (true, _) => (460, 400),
        (_, true) => (960, 300),
        _ => (460, 300),
    }
}

fn render<D: DrawingBackend>(plot: &Plot, root: &Area<D>, place: &mut [f64; 4]) -> Drawn<D> {
    let (width, height) = extent(plot);
    let legend = legend_rows(plot, f64::from(width) - 30.0);
    let top = 12 + LINE * legend.len() as i32;
    let (x, y) = placed(plot);
    let widest = |p: &Placed| p.ticks().iter().map(|t| width_of(&p.say(*t), LETTERS)).fold(0.0, f64::max);
    let left = (widest(&y) as i32 + 12).clamp(30, 120) + if plot.y.title.is_empty() { 0 } else { 20 };
    let crowded = x.has_names() && slanted(&x, f64::from(width - left - 40));
    let bottom = if crowded { 44 } else { 26 } + if plot.x.title.is_empty() { 0 } else { 18 };
    // A matrix is square, with its key at its right.
    let right = match &plot.image {
        Some(image) => {
            let across = (height - top - bottom) * image.columns.max(1) as i32 / image.rows.max(1) as i32;
            (width - left - across).max(86)
        }
        None => 16,
    };
    let fine = |n: i32| n * FINE;
    let mut chart = ChartBuilder::on(root)
        .margin_top(fine(top))
        .margin_right(fine(right))
        .x_label_area_size(fine(bottom))
        .y_label_area_size(fine(left))
        .build_cartesian_2d(x, y)?;
    let (across, down) = chart.plotting_area().get_pixel_range();
    *place = [across.start, down.start, across.len() as i32, down.len() as i32].map(f64::from);
    if let Some(image) = &plot.image {
        key(root, image, [across.end, down.start, down.end])?;
    }
    frame(plot, &mut chart, crowded)?;
    titles(plot, root, [across.start, across.end, down.start, down.end], (bottom, left), crowded)?;
    let curves = plot.layers.iter().filter(|l| matches!(l, Layer::Line { .. } | Layer::Band { .. })).count();
    let most = (POINTS / curves.max(1)).clamp(LEAST, MOST);
    for layer in &plot.layers {
        lay(layer, &mut chart, root, most)?;
    }
    write_legend(root, &legend)?;
    root.present()
}

/// The axes of a plot. Names beside a matrix are wanted all, as long as there is room.
fn placed(plot: &Plot) -> (Placed, Placed) {
    let names = |axis: &Axis, most: usize| if matches!(axis.scale, Scale::Names(_)) { most } else { 6 };
    let most = (if plot.wide { 12 } else { names(&plot.x, 10) }, names(&plot.y, 20));
    axes(&plot.x, &plot.y, &plot.layers, most)
}

/// Whether names below an axis would run into each other.
fn slanted(x: &Placed, width: f64) -> bool {
    let ticks = x.ticks();
    let room = width / ticks.len().max(1) as f64;
    ticks.iter().any(|t| width_of(&x.say(*t), LETTERS) > room - 6.0)
}

/// Grid, axes and what their ticks say.
fn frame<D: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, D>, crowded: bool) -> Drawn<D> {
    let (x, y) = (chart.as_coord_spec().x_spec().clone(), chart.as_coord_spec().y_spec().clone());
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(style(Ink::Grid, 1.0))
        .light_line_style(color(Ink::Grid, 0.0))
        .axis_style(style(Ink::Faint, 1.0))
        .set_all_tick_mark_size(4 * FINE)
        .label_style(letters(LETTERS, Ink::Text));
    if plot.image.is_some() {
        mesh.disable_mesh();
    } else if x.has_names() {
        mesh.disable_x_mesh();
    }
    let (say_x, say_y) = (|v: &f64| x.say(*v), |v: &f64| cut(&y.say(*v), 110.0, LETTERS));
    let none = |_: &f64| String::new();
    mesh.x_labels(50).y_labels(50).y_label_formatter(&say_y);
    match crowded {
        true => mesh.x_label_formatter(&none).draw()?,
        false => mesh.x_label_formatter(&say_x).draw()?,
    }
    Ok(())
}

/// What the axes count, and crowded names from bottom to top.
fn titles<D: DrawingBackend>(
    plot: &Plot,
    root: &Area<D>,
    [x0, x1, y0, y1]: [i32; 4],
    (bottom, left): (i32, i32),
    crowded: bool,
) -> Drawn<D> {
    let middle = |h, v| Pos::new(h, v);
    let (width, height) = (x1 - x0, y1 - y0);
    if !plot.x.title.is_empty() {
        let at = (x0 + width / 2, y1 + (bottom - 3) * FINE);
        let words = cut(&plot.x.title, f64::from(width / FINE) + 60.0, LETTERS);
        root.draw(&Text::new(words, at, letters(LETTERS, Ink::Text).pos(middle(HPos::Center, VPos::Bottom))))?;
    }
    if !plot.y.title.is_empty() {
        let at = (x0 - (left - 6) * FINE, y0 + height / 2);
        let up = letters(LETTERS, Ink::Text).transform(FontTransform::Rotate270);
        let words = cut(&plot.y.title, f64::from(height / FINE) + 50.0, LETTERS);
        root.draw(&Text::new(words, at, up.pos(middle(HPos::Center, VPos::Top))))?;
    }
    let (x, _) = placed(plot);
    if crowded {
        let ticks = x.ticks();
        for (i, tick) in ticks.iter().enumerate() {
            use plotters::coord::ranged1d::Ranged;
            let at = x.map(tick, (x0, x1));
            // Names in turns on two lines, then cut.
            let room = 2.0 * f64::from(width / FINE) / ticks.len() as f64 - 6.0;
            let at = (at, y1 + (8 + (i as i32 % 2) * 16) * FINE);
            let words = cut(&x.say(*tick), room, LETTERS);
            root.draw(&Text::new(words, at, letters(LETTERS, Ink::Text).pos(middle(HPos::Center, VPos::Top))))?;
        }
    }
    Ok(())
}

/// The points that both axes can show, those beyond the edges moved to them.
fn within<D: DrawingBackend>(points: &[Point], chart: &Chart<'_, D>) -> Vec<Point> {
    let spec = chart.as_coord_spec();
    let (x, y) = (spec.x_spec(), spec.y_spec());
    points.iter().filter(|p| x.shows(p.0) && y.shows(p.1)).map(|p| (x.clamp(p.0), y.clamp(p.1))).collect()
}

/// Bands and error bars within the axes; a lower end that a logarithmic axis cannot show is at its edge.
fn spans<D: DrawingBackend>(points: &[[f64; 3]], chart: &Chart<'_, D>) -> Vec<[f64; 3]> {
    let spec = chart.as_coord_spec();
    let (x, y) = (spec.x_spec(), spec.y_spec());
    let usable = |p: &&[f64; 3]| x.shows(p[0]) && !p[1].is_nan() && !p[2].is_nan();
    points.iter().filter(usable).map(|p| [x.clamp(p[0]), y.clamp(p[1]), y.clamp(p[2])]).collect()
}

fn lay<D: DrawingBackend>(layer: &Layer, chart: &mut Chart<'_, D>, root: &Area<D>, most: usize) -> Drawn<D> {
    let floor = chart.as_coord_spec().y_spec().floor();
    match layer {
        Layer::Line { points, ink, width, alpha } => {
            let line = color(*ink, *alpha).stroke_width((width * f64::from(FINE)).round() as u32);
            let points = within(&thin(points, most), chart);
            chart.draw_series(std::iter::once(PathElement::new(points, line)))?;
        }
        Layer::Dots { points, ink, radius, ring } => {
            let shape = if *ring { style(*ink, 1.2) } else { color(*ink, 1.0).filled() };
            let radius = (radius * f64::from(FINE)).round() as i32;
            let points = within(points, chart);
            chart.draw_series(points.into_iter().map(|p| Circle::new(p, radius, shape)))?;
        }
        Layer::Bars { points, ink, width } => {
            let fill = color(*ink, 1.0).filled();
            let bar = |p: Point| Rectangle::new([(p.0 - width / 2.0, floor), (p.0 + width / 2.0, p.1)], fill);
            let points = within(points, chart);
            chart.draw_series(points.into_iter().map(bar))?;
        }
        Layer::Band { points, ink, alpha } => {
            let points = spans(&thin(points, most), chart);
            let around = points.iter().map(|p| (p[0], p[1])).chain(points.iter().rev().map(|p| (p[0], p[2])));
            let around: Vec<Point> = around.collect();
            chart.draw_series(std::iter::once(Polygon::new(around, color(*ink, *alpha).filled())))?;
        }
        Layer::Whiskers { points, ink } => {
            let line = style(*ink, 1.2);
            let bars = spans(points, chart).into_iter().map(|p| PathElement::new([(p[0], p[1]), (p[0], p[2])], line));
            chart.draw_series(bars)?;
        }
        Layer::Rule { at, vertical, ink } => rule(*at, *vertical, *ink, chart)?,
        Layer::Label { at, text, ink, size, lift } => {
            if let [(x, y)] = within(&[*at], chart)[..] {
                let (px, py) = chart.backend_coord(&(x, y));
                let at = (px, py - ((5.0 + lift * size * 1.2) * f64::from(FINE)) as i32);
                let words = letters(*size, *ink).pos(Pos::new(HPos::Center, VPos::Bottom));
                root.draw(&Text::new(text.clone(), at, words))?;
            }
        }
    }
    Ok(())
}

/// A dashed line across.
fn rule<D: DrawingBackend>(at: f64, vertical: bool, ink: Ink, chart: &mut Chart<'_, D>) -> Drawn<D> {
    use plotters::coord::ranged1d::Ranged;
    let spec = chart.as_coord_spec();
    let (x, y) = (spec.x_spec().clone(), spec.y_spec().clone());
    if !(if vertical { &x } else { &y }).holds(at) {
        return Ok(());
    }
    let (across_px, down_px) = chart.plotting_area().get_pixel_range();
    let area = chart.plotting_area().strip_coord_spec();
    let base = area.get_base_pixel();
    let (from, to) = if vertical { (down_px.start, down_px.end) } else { (across_px.start, across_px.end) };
    let fixed = match vertical {
        true => x.map(&at, (across_px.start, across_px.end)),
        false => y.map(&at, (down_px.end, down_px.start)),
    };
    let mut start = from;
    while start < to {
        let end = (start + 6 * FINE).min(to);
        let point = |s: i32| if vertical { (fixed - base.0, s - base.1) } else { (s - base.0, fixed - base.1) };
        area.draw(&PathElement::new([point(start), point(end)], style(ink, 1.2)))?;
        start = end + 4 * FINE;
    }
    Ok(())
}

/// The bar that says what the colours of a matrix stand for.
fn key<D: DrawingBackend>(root: &Area<D>, image: &Image, [right, top, bottom]: [i32; 3]) -> Drawn<D> {
    let (x0, x1) = (right + 14 * FINE, right + 26 * FINE);
    let count = image.key.len().max(1) as i32;
    let step = f64::from(bottom - top) / f64::from(count);
    for (i, pixel) in image.key.iter().enumerate() {
        // From the lowest colour at the bottom.
        let low = bottom - (step * i as f64).round() as i32;
        // A little into the next one, so that no seam is seen.
        let high = (bottom - (step * (i + 1) as f64).round() as i32 - FINE).max(top);
        let fill = RGBColor(pixel[0], pixel[1], pixel[2]).filled();
        root.draw(&Rectangle::new([(x0, high), (x1, low)], fill))?;
    }
    for (at, words) in &image.marks {
        let y = bottom - (f64::from(bottom - top) * at).round() as i32;
        root.draw(&PathElement::new([(x1, y), (x1 + 4 * FINE, y)], style(Ink::Faint, 1.0)))?;
        let say = letters(LETTERS - 1.0, Ink::Text).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(words.clone(), (x1 + 7 * FINE, y), say))?;
    }
    Ok(())
}

/// Where the entries of the legend are: rows of x, words, ink.
fn legend_rows(plot: &Plot, width: f64) -> Vec<Vec<(f64, String, Ink)>> {
    let mut rows: Vec<Vec<(f64, String, Ink)>> = Vec::new();
    let mut at = f64::INFINITY;
    for (words, ink) in &plot.legend {
        let words = cut(words, width - 24.0, LETTERS);
        let wide = 22.0 + width_of(&words, LETTERS) + 16.0;
        if at + wide > width {
            rows.push(Vec::new());
            at = 0.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((at, words, *ink));
        }
        at += wide;
    }
    rows
}

fn write_legend<D: DrawingBackend>(root: &Area<D>, rows: &[Vec<(f64, String, Ink)>]) -> Drawn<D> {
    for (i, row) in rows.iter().enumerate() {
        let y = (11 + LINE * i as i32) * FINE;
        for (x, words, ink) in row {
            let x = (14.0 + x) as i32 * FINE;
            root.draw(&PathElement::new([(x, y), (x + 15 * FINE, y)], style(*ink, 2.6)))?;
            let say = letters(LETTERS, Ink::Text).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(words.clone(), (x + 20 * FINE, y), say))?;
        }
    }
    Ok(())
}
