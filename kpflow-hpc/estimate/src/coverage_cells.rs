//! Estimators on spectra as trained networks have them, each beside the truth: what a test and a program count coverage of.
//!
//! This file knows the crate by its name: `kpflow-bench` has it as a module too.

use kpflow_core::machine::Portable;
use kpflow_core::{Scalar, Shape};
use kpflow_estimate::*;
use std::ops::Range;

/// The budgets of a cell, in products.
pub const BUDGETS: [usize; 5] = [4, 8, 12, 30, 100];
/// The methods of traces of the whole.
pub const TRACES: [&str; 5] = ["hutchinson", "hutchpp", "nystrompp", "xtrace", "xnystrace"];
/// Of the state.
const SHAPE: Shape = Shape { trajectories: 3, steps: 8, units: 10 };
/// Products at once: a budget is one look.
const BLOCK: usize = 128;

/// Quantities that are estimated together.
pub struct Cell {
    /// What each is, and its true value.
    pub truths: Vec<(String, f64)>,
    /// What rounding of sums may add to an interval, relative to the value.
    pub slack: f64,
    /// Estimates them from a seed.
    pub run: Box<dyn Fn(u64, Budget) -> Vec<Estimate> + Send + Sync>,
}

/// What the intervals of a quantity are at a budget, over the seeds.
pub struct Row {
    /// What it is.
    pub what: String,
    /// Products.
    pub budget: usize,
    /// How many intervals hold the truth.
    pub covered: usize,
    /// The median of |value − truth| / |truth|.
    pub error: f64,
    /// The median of the interval's width / |truth|.
    pub width: f64,
}

impl Cell {
    fn new(
        names: Vec<(String, f64)>,
        slack: f64,
        run: impl Fn(u64, Budget) -> Vec<Estimate> + Send + Sync + 'static,
    ) -> Self {
        Self { truths: names, slack, run: Box::new(run) }
    }

    /// Runs the seeds. An interval holds its value, and no more is spent than may be.
    pub fn rows(&self, budget: usize, seeds: Range<u64>) -> Vec<Row> {
        let runs: Vec<Vec<Estimate>> =
            seeds.map(|seed| (self.run)(seed, Budget { rtol: 0.0, max_matvecs: budget })).collect();
        let row = |(i, (what, truth)): (usize, &(String, f64))| {
            let all = || runs.iter().map(|r| &r[i]);
            for found in all() {
                let [low, high] = found.interval;
                assert!(low <= found.value && found.value <= high, "{what}: {found:?}");
                assert!(found.matvecs <= budget, "{what}: more than {budget} products, {found:?}");
            }
            let slack = self.slack * truth.abs();
            let holds = |e: &&Estimate| e.interval[0] - slack <= *truth && *truth <= e.interval[1] + slack;
            Row {
                what: what.clone(),
                budget,
                covered: all().filter(holds).count(),
                error: median(all().map(|e| (e.value - truth).abs() / truth.abs()).collect()),
                width: median(all().map(|e| (e.interval[1] - e.interval[0]) / truth.abs()).collect()),
            }
        };
        self.truths.iter().enumerate().map(row).collect()
    }
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

/// The spectra: name and eigenvalues.
fn spectra(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let of = |f: &dyn Fn(f64) -> f64| (1..=n).map(|k| f(k as f64)).collect::<Vec<f64>>();
    let rest: f64 = (2..=n).map(|k| 1.0 / k as f64).sum();
    vec![
        ("one mode", of(&|k| if k == 1.0 { 0.98 } else { 0.02 / rest / k })),
        ("1/k", of(&|k| 1.0 / k)),
        ("1/k^1.5", of(&|k| k.powf(-1.5))),
        ("1/k²", of(&|k| k.powi(-2))),
        ("two clusters", of(&|k| if k <= 5.0 { 1.0 } else { 0.01 })),
        ("rank 7", of(&|k| if k <= 7.0 { 1.0 / k } else { 0.0 })),
    ]
}

/// Q D Qᵀ of a diagonal D, on the whole or on every trajectory by itself; never a matrix.
///
/// Q is nine layers of rotations by 45° of random pairs: every eigenvector is spread over all coordinates, as those of a network are.
#[derive(Clone)]
struct Mixed {
    values: Vec<f64>,
    /// As many numbers as Q goes over.
    over: usize,
    pairs: Vec<(usize, usize)>,
}

impl Mixed {
    fn new(values: &[f64]) -> Self {
        let over = values.len();
        let mut state = 1u64;
        let mut pairs = Vec::new();
        for _ in 0..9 {
            let mut order: Vec<usize> = (0..over).collect();
            for i in (1..over).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(i, (state >> 33) as usize % (i + 1));
            }
            pairs.extend(order.chunks_exact(2).map(|p| (p[0], p[1])));
        }
        Self { values: values.to_vec(), over, pairs }
    }

    /// The same basis, other eigenvalues.
    fn with(&self, values: &[f64]) -> Self {
        Self { values: values.to_vec(), ..self.clone() }
    }

    fn times(&self, x: &mut [f64]) {
        let c = 0.5f64.sqrt();
        for x in x.chunks_mut(self.over) {
            for &(i, j) in &self.pairs {
                (x[i], x[j]) = (c * (x[i] - x[j]), c * (x[i] + x[j]));
            }
            x.iter_mut().zip(&self.values).for_each(|(x, v)| *x *= v);
            for &(i, j) in self.pairs.iter().rev() {
                (x[i], x[j]) = (c * (x[i] + x[j]), c * (x[j] - x[i]));
            }
        }
    }

    /// The matrix, row by row.
    fn matrix(&self) -> Vec<f64> {
        let column = |i: usize| {
            let mut x = vec![0.0; self.over];
            x[i] = 1.0;
            self.times(&mut x);
            x
        };
        (0..self.over).flat_map(column).collect()
    }

    fn problem<T: Scalar>(&self, seed: u64) -> Problem<'_, T> {
        Problem::of(Box::new(self), &Portable, (0, SHAPE.trajectories), seed, BLOCK, &|_, _, _| ())
    }
}

impl<T: Scalar> Product<T> for Mixed {
    fn domain(&self) -> Shape {
        SHAPE
    }
    fn codomain(&self) -> Shape {
        SHAPE
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        let mut all = Vec::with_capacity(SHAPE.len());
        for v in columns {
            all.clear();
            (0..SHAPE.trajectories).for_each(|b| all.extend(x.part(b, v).iter().map(|x| x.f64())));
            self.times(&mut all);
            for (b, part) in all.chunks(SHAPE.per_trajectory()).enumerate() {
                y.part_mut(b, v).iter_mut().zip(part).for_each(|(y, x)| *y = T::of(*x));
            }
        }
        Ok(())
    }
}

/// What rounding of a precision may add.
fn slack<T: Scalar>() -> f64 {
    if std::mem::size_of::<T>() == 4 {
        1e-6
    } else {
        1e-10
    }
}

type Method<T> = (&'static str, fn(&Problem<'_, T>, &Budget) -> Result<Estimate>);

fn each<T: Scalar>(op: &Mixed, kind: &str, truth: f64, methods: &[Method<T>]) -> Vec<Cell> {
    let precision = if std::mem::size_of::<T>() == 4 { ", f32" } else { "" };
    let cell = |&(name, method): &Method<T>| {
        let op = op.clone();
        Cell::new(vec![(format!("{name} of {kind}{precision}"), truth)], slack::<T>(), move |seed, budget| {
            vec![method(&op.problem(seed), &budget).unwrap()]
        })
    };
    methods.iter().map(cell).collect()
}

/// Traces of the whole by those of these methods that are named.
pub fn traces<T: Scalar>(names: &[&str]) -> Vec<Cell> {
    let methods: [Method<T>; 5] = [
        ("hutchinson", |p, b| hutchinson(p, b)),
        ("hutchpp", |p, b| hutchpp(p, b)),
        ("nystrompp", |p, b| nystrompp(p, b)),
        ("xtrace", |p, b| xtrace(p, b)),
        ("xnystrace", |p, b| xnystrace(p, b)),
    ];
    let methods: Vec<Method<T>> = methods.into_iter().filter(|m| names.contains(&m.0)).collect();
    let of = |(kind, values): (&str, Vec<f64>)| each(&Mixed::new(&values), kind, values.iter().sum(), &methods);
    spectra(SHAPE.len()).into_iter().flat_map(of).collect()
}

/// Traces by trajectory, of block diagonal operators.
pub fn traces_by_trajectory<T: Scalar>() -> Vec<Cell> {
    let methods: [Method<T>; 2] = [
        ("per_trajectory", |p, b| per_trajectory(p, b)),
        // And `auto` where there is no exact method.
        ("per_trajectory_xnystrace", |p, b| per_trajectory_xnystrace(p, b)),
    ];
    let of = |(kind, values): (&str, Vec<f64>)| {
        let truth = SHAPE.trajectories as f64 * values.iter().sum::<f64>();
        let cells = each(&Mixed::new(&values), kind, truth, &methods);
        // A hundred probes span a trajectory of 80 numbers: what is left is the rounding of a full sketch, by the condition of its probes.
        cells.into_iter().map(|c| Cell { slack: 100.0 * c.slack, ..c })
    };
    spectra(SHAPE.per_trajectory()).into_iter().flat_map(of).collect()
}

/// Frobenius norms and effective ranks.
pub fn second_moments() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (kind, values) in spectra(SHAPE.len()) {
        let op = Mixed::new(&values);
        let factor = op.with(&values.iter().map(|v| v.sqrt()).collect::<Vec<_>>());
        let (trace, square) = (values.iter().sum::<f64>(), values.iter().map(|v| v * v).sum::<f64>());
        let (norm, rank) = (square.sqrt(), trace * trace / square);
        cells.extend(each::<f64>(
            &op,
            kind,
            norm,
            &[("frobenius", |p, b| frobenius(p, b)), ("deflated frobenius", |p, b| frobenius_deflated(p, b))],
        ));
        cells.extend(each::<f64>(&op, kind, rank, &[("effective rank", |p, b| effective_rank_sampled(p, b))]));
        cells.extend(each::<f64>(&factor, kind, trace, &[("one-sided trace", |p, b| one_sided(p, b))]));
        let pairs: [Method<f64>; 2] = [
            ("norm by pairs", |p, b| pair_statistic(p, b, SecondMoment::Frobenius)),
            ("rank by pairs", |p, b| pair_statistic(p, b, SecondMoment::EffectiveRank)),
        ];
        cells.extend(each(&factor, kind, norm, &pairs[..1]));
        cells.extend(each(&factor, kind, rank, &pairs[1..]));
        cells.push(Cell::new(vec![(format!("rank by parts of {kind}"), rank)], 1e-10, move |seed, b| {
            let third = Budget { max_matvecs: b.max_matvecs.div_ceil(3), ..b };
            let rest = Budget { max_matvecs: b.max_matvecs - third.max_matvecs, ..b };
            let trace = hutchpp(&op.problem::<f64>(seed), &third).unwrap();
            vec![effective_rank(&trace, &frobenius_deflated(&op.problem::<f64>(seed), &rest).unwrap(), 0.0)]
        }));
    }
    cells
}

/// Blocks, alignments and diagonals.
pub fn parts() -> Vec<Cell> {
    let (n, mut cells) = (SHAPE.len(), Vec::new());
    let part_of: Vec<usize> = (0..SHAPE.per_trajectory()).map(|i| usize::from(i % SHAPE.units >= 4)).collect();
    let none = |value, error, matvecs| Estimate::new(value, error, matvecs, StopReason::Budget, Vec::new());
    for (kind, values) in spectra(n) {
        let op = Mixed::new(&values);
        let (a, part_of) = (op.matrix(), part_of.clone());
        let part = |i: usize| part_of[i % part_of.len()];
        let block = |x: usize, y: usize| {
            let square = |i: usize| (0..n).filter(|&j| part(j) == y).map(|j| a[i * n + j].powi(2)).sum::<f64>();
            (0..n).filter(|&i| part(i) == x).map(square).sum::<f64>().sqrt()
        };
        let trace: f64 = values.iter().sum();
        let of_part = |x: usize| (0..n).filter(|&i| part(i) == x).map(|i| a[i * n + i]).sum::<f64>();
        let names = vec![
            (format!("norm of block 0, 0 of {kind}"), block(0, 0)),
            (format!("norm of block 0, 1 of {kind}"), block(0, 1)),
            (format!("norm of block 1, 1 of {kind}"), block(1, 1)),
            (format!("trace of block 0 of {kind}"), of_part(0)),
            (format!("trace by blocks of {kind}"), trace),
        ];
        let row = |i: usize| a[i * n..][..n].iter().map(|x| x * x).sum::<f64>().sqrt();
        let entries = |way: &str| {
            vec![
                (format!("diagonal 17 {way} of {kind}"), a[17 * n + 17]),
                (format!("row 17 {way} of {kind}"), row(17)),
                (format!("trace by the diagonal {way} of {kind}"), trace),
            ]
        };
        for (way, deflate) in [("sampled", false), ("deflated", true)] {
            let op = op.clone();
            cells.push(Cell::new(entries(way), 1e-10, move |seed, b| {
                let d = diagonal(&op.problem::<f64>(seed), &b, deflate).unwrap();
                let spent = d.trace.matvecs;
                vec![
                    none(d.diagonal.data[17], d.diagonal_errors.data[17], spent),
                    none(d.rows.data[17], d.row_errors.data[17], spent),
                    d.trace,
                ]
            }));
        }
        let turned: Vec<f64> = values.iter().enumerate().map(|(i, v)| v * (1.5 + (3.0 * i as f64).sin())).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let truth = dot(&values, &turned) / (dot(&values, &values) * dot(&turned, &turned)).sqrt();
        for (way, deflate) in [("sampled", false), ("deflated", true)] {
            let (x, y) = (op.clone(), op.with(&turned));
            cells.push(Cell::new(vec![(format!("alignment {way} of {kind}"), truth)], 1e-10, move |s, b| {
                vec![alignment(&x.problem::<f64>(s), &y.problem(s), &b, deflate).unwrap()]
            }));
        }
        let root = |v: &[f64]| op.with(&v.iter().map(|x| x.sqrt()).collect::<Vec<_>>());
        let (x, y) = (root(&values), root(&turned));
        cells.push(Cell::new(vec![(format!("alignment by pairs of {kind}"), truth)], 1e-10, move |s, b| {
            vec![pair_alignment(&x.problem::<f64>(s), &y.problem(s), &b).unwrap()]
        }));
        cells.push(Cell::new(names, 1e-10, move |seed, b| {
            let found = blocks(&op.problem::<f64>(seed), &b, &part_of, 2).unwrap();
            let spent = found.trace.matvecs;
            let norm = |at: usize| none(found.norms[at], found.norm_errors[at], spent);
            vec![norm(0), norm(1), norm(3), none(found.traces[0], found.trace_errors[0], spent), found.trace]
        }));
    }
    cells
}
