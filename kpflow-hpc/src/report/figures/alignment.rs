//! The matrix of alignments between the stages of a training.

use super::matrices::named_cells;
use super::{Figure, Group, Stage};
use crate::analysis::shown::Picture;
use crate::analysis::ALIGNMENT;
use crate::report::cells::Colors;
use crate::report::text;

/// A matrix [S, S] for every operator whose alignments between stages are in the files.
pub fn alignments(stages: &[Stage], groups: &[Group<'_>]) -> Vec<Figure> {
    let mut operators: Vec<&str> = Vec::new();
    for g in groups.iter().filter(between) {
        if !operators.contains(&g.operator) && g.members.iter().any(|m| m.2.with_stage.is_some()) {
            operators.push(g.operator);
        }
    }
    operators.into_iter().filter_map(|o| matrix(stages, groups, o)).collect()
}

/// Whether it is drawn between stages.
fn between(group: &&Group<'_>) -> bool {
    group.pictures().contains(&Picture::BetweenStages)
}

/// Values between the stages: [S, S], NaN where no analysis says.
pub fn assemble(stages: &[Stage], groups: &[Group<'_>], operator: &str) -> Vec<f64> {
    let n = stages.len();
    let mut matrix = vec![f64::NAN; n * n];
    for i in 0..n {
        matrix[i * n + i] = 1.0;
    }
    for g in groups.iter().filter(|g| between(g) && g.operator == operator) {
        for (i, _, a) in &g.members {
            let Some(with) = &a.with_stage else { continue };
            let Some(j) = stages.iter().position(|s| s.label == *with) else { continue };
            if let Some(value) = a.value().filter(|_| j != *i) {
                matrix[i * n + j] = value;
                matrix[j * n + i] = value;
            }
        }
    }
    matrix
}

fn matrix(stages: &[Stage], groups: &[Group<'_>], operator: &str) -> Option<Figure> {
    let n = stages.len();
    let data = assemble(stages, groups, operator);
    // One file alone has alignments, but nothing to be aligned with.
    if n < 2 {
        return None;
    }
    let names: Vec<String> = stages.iter().map(|s| s.label.clone()).collect();
    let blank = if data.iter().any(|x| x.is_nan()) { " Blank: not computed." } else { "" };
    Some(Figure {
        name: vec![String::new(), operator.into(), ALIGNMENT.name.into()],
        title: format!("Alignment of {} between stages", text::operator(operator)),
        caption: format!("{n} stages in the order of the training; 1 on the diagonal.{blank}"),
        plot: named_cells(&names, (n, n, &data), Colors::Share),
        table: None,
    })
}
