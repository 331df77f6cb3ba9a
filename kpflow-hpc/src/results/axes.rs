//! What the axes of an analysis' datasets are called, and what each is counted by: in its file, and in Python.

use crate::analysis::keys::{AVERAGE, AXES, UNITS, WINDOW};
use crate::analysis::outputs::Dimension;
use crate::analysis::{self, Output, Part};
use crate::job::Axis;

/// What an axis is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Whole numbers.
    Numbers(Vec<i64>),
    /// Texts.
    Words(Vec<String>),
    /// The numbers of the dataset of its name.
    Itself,
}

/// What is known of an analysis.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// Which datasets it may have.
    pub quantity: &'a str,
    /// The part of the state that it is of.
    pub part: &'a Part,
    /// The axes that a marginal is onto.
    pub onto: &'a [Axis],
    /// [B, T, N].
    pub shape: [usize; 3],
    /// The names of the state's variables.
    pub variables: &'a [String],
}

/// The names of its axes.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// What each axis is counted by.
    pub scales: Vec<(String, usize, Ticks)>,
    /// The axes of each dataset, by the numbers of their scales.
    pub datasets: Vec<(String, Vec<usize>)>,
    /// Numbers beside an axis of two: name, the axis' scale, the numbers along it.
    pub beside: Vec<(&'static str, usize, Vec<i64>)>,
}

/// Part and axes of an analysis by its keys in a job, each as nothing where the job says none or another thing.
pub fn asked(keys: &toml::Table) -> (Part, Vec<Axis>) {
    let numbers = |name: &str| {
        let all = keys.get(name)?.as_array()?;
        all.iter().map(|x| usize::try_from(x.as_integer()?).ok()).collect::<Option<Vec<usize>>>()
    };
    let window = numbers(WINDOW.name).and_then(|w| Some(*w.first()?..*w.last()?));
    let average = keys.get(AVERAGE.name).and_then(toml::Value::as_bool).unwrap_or(false);
    let axis = |x: &toml::Value| Axis::ALL.iter().find(|a| Some(a.0) == x.as_str()).map(|a| a.1);
    let onto = match AXES.names().find_map(|name| keys.get(name)) {
        Some(toml::Value::Array(all)) => all.iter().filter_map(axis).collect(),
        Some(one) => axis(one).into_iter().collect(),
        None => Vec::new(),
    };
    (Part { window, units: numbers(UNITS.name), average }, onto)
}

impl Axes<'_> {
    /// Names the axes of the datasets that are there, of these shapes.
    pub fn names(&self, there: &[(&Output, Vec<usize>)]) -> Names {
        let mut names = Names::default();
        for (output, shape) in there.iter().filter(|(output, _)| is_scale(output)) {
            names.scales.push((output.name.into(), shape.iter().product(), Ticks::Itself));
        }
        for (output, shape) in there.iter().filter(|(output, _)| !is_scale(output)) {
            // One tensor of the state's size in the place of a list of them.
            let dimensions = &output.dimensions[output.dimensions.len().saturating_sub(shape.len())..];
            let mut axes = Vec::new();
            for (&dimension, &length) in dimensions.iter().zip(shape) {
                axes.push(names.find(self.name(dimension), length, &axes, || self.ticks(dimension, length)));
            }
            names.datasets.push((output.name.into(), axes));
        }
        names.beside = self.of_pairs(&names.scales);
        names
    }

    /// Where the numbers of a marginal onto two axes are, on each.
    fn of_pairs(&self, scales: &[(String, usize, Ticks)]) -> Vec<(&'static str, usize, Vec<i64>)> {
        let kept = Dimension::Kept.name();
        let axes: Vec<Axis> = Axis::ALL.iter().map(|a| a.1).filter(|a| self.onto.contains(a)).collect();
        let each: Vec<Vec<i64>> = axes.iter().map(|&axis| self.of_axis(axis, self.length(axis))).collect();
        let ([slow, fast], Some(at)) = (&each[..], scales.iter().position(|s| s.0 == kept)) else { return Vec::new() };
        if slow.len() * fast.len() != scales[at].1 {
            return Vec::new();
        }
        let places = [
            slow.iter().flat_map(|&i| fast.iter().map(move |_| i)).collect(),
            slow.iter().flat_map(|_| fast.iter().copied()).collect(),
        ];
        axes.iter().zip(places).map(|(axis, numbers)| (axis.name(), at, numbers)).collect()
    }

    /// How long an axis of the part is.
    fn length(&self, axis: Axis) -> usize {
        let [trajectories, steps, units] = self.shape;
        match axis {
            Axis::Trajectory if self.part.average => 1,
            Axis::Trajectory => trajectories,
            Axis::Time => self.part.window.as_ref().map_or(steps, |w| w.len()),
            Axis::Unit => self.part.units.as_ref().map_or(units, Vec::len),
        }
    }

    /// The state's trajectories, steps or units that an axis of this length has; of positions, which have no units, from 0.
    fn of_axis(&self, axis: Axis, length: usize) -> Vec<i64> {
        let of_part = match axis {
            Axis::Trajectory => None,
            Axis::Time => self.part.window.clone().map(Iterator::collect),
            Axis::Unit => self.part.units.clone(),
        };
        let numbers = of_part.filter(|numbers: &Vec<usize>| numbers.len() == length);
        numbers.unwrap_or_else(|| (0..length).collect()).into_iter().map(|x| x as i64).collect()
    }

    /// What an axis is called.
    fn name(&self, dimension: Dimension) -> &'static str {
        match self.onto {
            [one] if dimension == Dimension::Kept => one.name(),
            _ => dimension.name(),
        }
    }

    /// What an axis is counted by.
    fn ticks(&self, dimension: Dimension, length: usize) -> Ticks {
        let of_axis = |axis| Ticks::Numbers(self.of_axis(axis, length));
        let words = |words: Vec<String>| if words.len() == length { Ticks::Words(words) } else { indices(length) };
        match dimension {
            Dimension::Trajectory => of_axis(Axis::Trajectory),
            Dimension::Time => of_axis(Axis::Time),
            Dimension::Unit => of_axis(Axis::Unit),
            Dimension::Kept if self.onto.len() == 1 => of_axis(self.onto[0]),
            Dimension::Variable => words(self.variables.to_vec()),
            Dimension::Column => {
                let columns = analysis::named(self.quantity).map(|q| q.history.columns().map(String::from));
                words(columns.map_or_else(Vec::new, Vec::from))
            }
            Dimension::End => words(vec!["low".into(), "high".into()]),
            Dimension::Kept
            | Dimension::Mode
            | Dimension::Grid
            | Dimension::LogGrid
            | Dimension::Vector
            | Dimension::State
            | Dimension::Step => indices(length),
        }
    }
}

impl Names {
    /// The number of the scale of a name and a length that is not `taken`, by the axes before; a new one where there is none.
    pub(super) fn find(&mut self, name: &str, length: usize, taken: &[usize], ticks: impl Fn() -> Ticks) -> usize {
        let mut called = name.to_string();
        // A matrix has one axis twice, which xarray does not.
        let mut times = 1;
        while let Some(i) = self.scales.iter().position(|s| s.0 == called) {
            if self.scales[i].1 == length && !taken.contains(&i) {
                return i;
            }
            times += 1;
            called = format!("{name}_{times}");
        }
        self.scales.push((called, length, ticks()));
        self.scales.len() - 1
    }
}

/// Whether others are told over its numbers: those of a curve's points.
fn is_scale(output: &Output) -> bool {
    output.dimensions.iter().map(|d| d.name()).eq([output.name])
}

/// From 0.
pub(super) fn indices(length: usize) -> Ticks {
    Ticks::Numbers((0..length as i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_marginal() {
        let (part, onto) = asked(&"axis = \"time\"\nwindow = [2, 5]\nunits = [4, 0]".parse().unwrap());
        let axes = Axes { quantity: "marginal", part: &part, onto: &onto, shape: [4, 6, 5], variables: &[] };
        let matrix = analysis::outputs_of("marginal").into_iter().find(|o| o.name == "matrix").unwrap();
        let names = axes.names(&[(matrix, vec![3, 3])]);
        let steps = || Ticks::Numbers(vec![2, 3, 4]);
        assert_eq!(names.scales, [("time".into(), 3, steps()), ("time_2".into(), 3, steps())]);
        assert_eq!(names.datasets, [("matrix".into(), vec![0, 1])]);
        let (part, onto) = asked(&"axes = [\"unit\", \"time\"]\nwindow = [2, 4]\nunits = [4, 0]".parse().unwrap());
        let axes = Axes { part: &part, onto: &onto, ..axes };
        let names = axes.names(&[(matrix, vec![4, 4])]);
        assert_eq!(names.beside, [("time", 0, vec![2, 2, 3, 3]), ("unit", 0, vec![4, 0, 4, 0])]);
    }
}
