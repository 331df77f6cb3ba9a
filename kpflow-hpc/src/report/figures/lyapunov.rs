//! Lyapunov exponents.

use super::{counted, curves, index, Figure, Group};
use crate::analysis::lyapunov::EXPONENTS;
use crate::analysis::shown::Picture;
use crate::analysis::LYAPUNOV;
use crate::report::plot::{Axis, Layer, Scale};
use crate::report::style::Ink;

/// The exponents of every trajectory, and their means.
pub fn figures(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    if group.members.iter().all(|m| m.2.array(EXPONENTS.name).is_none()) {
        return Vec::new();
    }
    let mut layers = vec![Layer::Rule { at: 0.0, vertical: false, ink: Ink::Faint }];
    layers.extend(group.each(|ink, _, a| {
        let Some((b, n, data)) = a.matrix(EXPONENTS.name) else { return Vec::new() };
        let row = |i: usize| &data[i * n..(i + 1) * n];
        let each = (0..b.min(32)).map(|i| Layer::Line { points: counted(row(i)), ink, width: 1.0, alpha: 0.25 });
        let mean: Vec<f64> = (0..n).map(|j| (0..b).map(|i| row(i)[j]).sum::<f64>() / b.max(1) as f64).collect();
        let points = counted(&mean);
        let dots = if n <= 130 { points.clone() } else { Vec::new() };
        each.chain([Layer::line(points, ink), Layer::Dots { points: dots, ink, radius: 2.0, ring: false }]).collect()
    }));
    vec![Figure {
        name: group.file(LYAPUNOV.name),
        title: group.title("Lyapunov exponents"),
        caption: "A step, largest first: the mean over trajectories, and pale each trajectory by itself (32 at most). Above 0 \
                  neighbouring states part. A direction that is lost altogether has −∞, which is not drawn."
            .into(),
        plot: curves(group, index("number"), Axis::new("exponent", Scale::Linear), layers),
        table: None,
    }]
}
