//! What a picture shows, before it is drawn: axes, layers, an image.

use super::style::Ink;

/// A point (x, y).
pub type Point = (f64, f64);

/// How an axis counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// Evenly, with ticks at whole numbers only.
    Whole,
    /// By decades.
    Log,
    /// By names, which are at 0, 1, 2, …
    Names(Vec<String>),
}

/// An axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// What it counts.
    pub title: String,
    /// How.
    pub scale: Scale,
    /// From where to where; `None`: as far as the layers go.
    pub range: Option<(f64, f64)>,
    /// Whether 0 is in view.
    pub zero: bool,
    /// Whether it runs down (or to the left), as the rows of a matrix do.
    pub reversed: bool,
}

impl Axis {
    /// An axis that is as long as what it shows.
    pub fn new(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), scale, ..Self::default() }
    }
    /// With a range.
    pub fn over(self, from: f64, to: f64) -> Self {
        Self { range: Some((from, to)), ..self }
    }
    /// With 0 in view.
    pub fn with_zero(self) -> Self {
        Self { zero: true, ..self }
    }
    /// Running down.
    pub fn down(self) -> Self {
        Self { reversed: true, ..self }
    }
}

/// A part of a picture. Points that are not finite, or not positive on a logarithmic axis, are left out.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A curve.
    Line { points: Vec<Point>, ink: Ink, width: f64, alpha: f64 },
    /// Discs, or rings.
    Dots { points: Vec<Point>, ink: Ink, radius: f64, ring: bool },
    /// Bars of this width on the axis of x, from 0 or the lower edge.
    Bars { points: Vec<Point>, ink: Ink, width: f64 },
    /// The area between two curves: x, lower, upper.
    Band { points: Vec<[f64; 3]>, ink: Ink, alpha: f64 },
    /// Error bars: x, lower, upper.
    Whiskers { points: Vec<[f64; 3]>, ink: Ink },
    /// A dashed line across at this x (`vertical`) or y.
    Rule { at: f64, vertical: bool, ink: Ink },
    /// Words, centred just above a point (`lift` lines higher).
    Label { at: Point, text: String, ink: Ink, size: f64, lift: f64 },
}

/// A matrix as coloured cells; cell (i, j) has its middle at x = j, y = i.
#[derive(Clone, Debug)]
pub struct Image {
    /// Rows and columns as they are shown.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// A colour a cell.
    pub pixels: Vec<[u8; 4]>,
    /// The colours from the lowest number to the highest.
    pub key: Vec<[u8; 4]>,
    /// What they stand for: a place among them, 0 … 1, and the number there.
    pub marks: Vec<(f64, String)>,
}

/// A picture.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, the first below.
    pub layers: Vec<Layer>,
    /// A matrix, below all layers.
    pub image: Option<Image>,
    /// The names of the inks.
    pub legend: Vec<(String, Ink)>,
    /// Whether it is as wide as the page.
    pub wide: bool,
}

impl Layer {
    /// A curve of the usual width.
    pub fn line(points: Vec<Point>, ink: Ink) -> Self {
        Self::Line { points, ink, width: 1.6, alpha: 1.0 }
    }
    /// Discs of the usual size.
    pub fn dots(points: Vec<Point>, ink: Ink) -> Self {
        Self::Dots { points, ink, radius: 2.6, ring: false }
    }

    /// The points that an axis has to show.
    pub fn extent(&self) -> Vec<(Option<f64>, Option<f64>)> {
        let both = |p: &Point| (Some(p.0), Some(p.1));
        let tall = |p: &[f64; 3]| [(Some(p[0]), Some(p[1])), (Some(p[0]), Some(p[2]))];
        match self {
            Self::Line { points, .. } | Self::Dots { points, .. } => points.iter().map(both).collect(),
            Self::Bars { points, width, .. } => points
                .iter()
                .flat_map(|p| [(Some(p.0 - width / 2.0), Some(p.1)), (Some(p.0 + width / 2.0), Some(p.1))])
                .collect(),
            Self::Band { points, .. } | Self::Whiskers { points, .. } => points.iter().flat_map(tall).collect(),
            Self::Rule { at, vertical: true, .. } => vec![(Some(*at), None)],
            Self::Rule { at, .. } => vec![(None, Some(*at))],
            Self::Label { .. } => Vec::new(),
        }
    }
}

/// A long curve by fewer points: its first quarter of them as they are, where spectra have their say, every so many of the rest, and its last.
pub fn thin<P: Copy>(points: &[P], most: usize) -> Vec<P> {
    if points.len() <= most {
        return points.to_vec();
    }
    let (head, rest) = points.split_at(most / 4);
    let step = rest.len().div_ceil((most - most / 4).saturating_sub(1).max(1));
    let last = rest.last().filter(|_| (rest.len() - 1) % step > 0);
    head.iter().chain(rest.iter().step_by(step)).chain(last).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::thin;

    #[test]
    fn thin_curves_keep_their_ends() {
        for n in [0usize, 1, 400, 401, 1000, 4096] {
            let found = thin(&(0..n).collect::<Vec<_>>(), 400);
            assert!(found.len() <= 400 && found.first() == (n > 0).then_some(&0), "{n}: {}", found.len());
            assert_eq!(found.last().copied(), n.checked_sub(1));
            assert!(found.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
