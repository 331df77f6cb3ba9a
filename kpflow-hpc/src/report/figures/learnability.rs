//! An error signal against the modes.

use super::{counted, curves, index, Figure, Group};
use crate::analysis::learnability::{ENERGIES, TIME_CONSTANTS};
use crate::analysis::outputs::EIGENVALUES;
use crate::analysis::shown::Picture;
use crate::report::figure::Table;
use crate::report::plot::{Axis, Layer, Scale};
use crate::report::text;

/// More modes than this are not drawn.
const MODES: usize = 60;

/// The figures of a learnability.
pub fn figures(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    if group.members.iter().all(|m| m.2.list(ENERGIES.name).is_empty()) {
        return Vec::new();
    }
    let count = group.members.len().max(1) as f64;
    let width = 0.8 / count;
    let mut at = 0.0;
    let energies = group.each(|ink, _, a| {
        let shift = (at - (count - 1.0) / 2.0) * width;
        at += 1.0;
        let bars = counted(a.list(ENERGIES.name)).into_iter().take(MODES).map(|p| (p.0 + shift, p.1));
        vec![Layer::Bars { points: bars.collect(), ink, width: width * 0.92 }]
    });
    let found: Vec<_> = group
        .members
        .iter()
        .map(|(_, s, a)| {
            let label = if group.stages > 1 { format!("{} ", s.label) } else { String::new() };
            format!("{label}{} %", text::digits(100.0 * a.list(ENERGIES.name).iter().sum::<f64>(), 3))
        })
        .take(8)
        .collect();
    let times = group.each(|ink, _, a| {
        let points: Vec<_> =
            counted(a.list(TIME_CONSTANTS.name)).into_iter().take(MODES).filter(|p| p.1 > 0.0).collect();
        vec![Layer::Line { points: points.clone(), ink, width: 1.0, alpha: 0.7 }, Layer::dots(points, ink)]
    });
    vec![
        Figure {
            name: group.file(ENERGIES.name),
            title: group.title("The error signal in the modes"),
            caption: format!("(v · e)² / ‖e‖² of each mode v; together {}.", found.join(", ")),
            plot: curves(
                group,
                index("mode"),
                Axis::new("share of the error signal", Scale::Linear).with_zero(),
                energies,
            ),
            table: table(group),
        },
        Figure {
            name: group.file("time-constants"),
            title: group.title("Time constants"),
            caption: "1/(η λ): after so many steps of gradient descent the error along a mode has shrunk by e, as long as the \
                      operator stays as it is."
                .into(),
            plot: curves(group, index("mode"), Axis::new("steps", Scale::Log), times),
            table: None,
        },
    ]
}

/// λ, share and time constant of each mode, where there is one file.
fn table(group: &Group<'_>) -> Option<Table> {
    let [(_, _, a)] = group.members[..] else { return group.table("mode", ENERGIES.name) };
    let lists = [EIGENVALUES.name, ENERGIES.name, TIME_CONSTANTS.name].map(|l| a.list(l));
    let row = |i: usize| {
        let cells = lists.iter().map(|l| l.get(i).map_or(String::new(), |x| text::digits(*x, 5)));
        std::iter::once((i + 1).to_string()).chain(cells).collect::<Vec<_>>()
    };
    let heads = ["mode", "eigenvalue", "share of the error signal", "time constant"].map(String::from).to_vec();
    Some(Table { heads, rows: (0..lists[1].len().min(MODES)).map(row).collect() })
}
