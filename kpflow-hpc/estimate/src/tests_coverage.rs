//! How often intervals hold the truth: every estimator that has one, on spectra as trained networks have them, at budgets from 4 products on.

use super::*;
use kpflow_core::{Scalar, Shape};
use std::ops::Range;

/// Seeds a cell.
const SEEDS: u64 = 60;
const BUDGETS: [usize; 5] = [4, 8, 12, 30, 100];
/// What must cover of 60: an interval of 95 % has 57 ± 1.7, one of 85 % 51 ± 2.8.
const LEAST: usize = 52;
const SHAPE: Shape = Shape { trajectories: 3, steps: 4, units: 10 };
const N: usize = 120;

/// The spectra: name and eigenvalues.
fn spectra(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let of = |f: &dyn Fn(f64) -> f64| (1..=n).map(|k| f(k as f64)).collect::<Vec<f64>>();
    vec![
        ("one mode", of(&|k| if k == 1.0 { 1.0 } else { 0.02 / n as f64 / k.sqrt() })),
        ("1/k", of(&|k| 1.0 / k)),
        ("1/k^1.5", of(&|k| k.powf(-1.5))),
        ("1/k²", of(&|k| k.powi(-2))),
        ("two clusters", of(&|k| if k <= 5.0 { 1.0 } else { 0.01 })),
        ("rank 7", of(&|k| if k <= 7.0 { 1.0 / k } else { 0.0 })),
    ]
}

/// H D H of a diagonal D and H a product of three reflections, in the whole or in every trajectory by itself; never a matrix.
struct Hidden<'a> {
    values: &'a [f64],
    shape: Shape,
    /// As many numbers as H goes over at once.
    over: usize,
    mirrors: [Vec<f64>; 3],
}

impl<'a> Hidden<'a> {
    fn new(values: &'a [f64], shape: Shape, block_diagonal: bool) -> Self {
        let over = if block_diagonal { shape.per_trajectory() } else { shape.len() };
        let mirror = |k: usize| {
            let v: Vec<f64> = (0..over).map(|i| ((i * (k + 2) + 1) as f64 * 0.7).sin() + 0.1).collect();
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            v.iter().map(|x| x / norm).collect()
        };
        Self { values, shape, over, mirrors: [0, 1, 2].map(mirror) }
    }

    fn reflect(&self, x: &mut [f64], k: usize) {
        let c: f64 = 2.0 * x.iter().zip(&self.mirrors[k]).map(|(x, v)| x * v).sum::<f64>();
        x.iter_mut().zip(&self.mirrors[k]).for_each(|(x, v)| *x -= c * v);
    }

    fn matrix(&self) -> Vec<f64> {
        let n = self.shape.len();
        let column = |i: usize| {
            let mut x = vec![0.0; n];
            x[i] = 1.0;
            self.times(&mut x);
            x
        };
        (0..n).flat_map(column).collect()
    }

    fn times(&self, x: &mut [f64]) {
        for part in x.chunks_mut(self.over) {
            (0..3).for_each(|k| self.reflect(part, k));
            part.iter_mut().zip(self.values).for_each(|(x, v)| *x *= v);
            (0..3).rev().for_each(|k| self.reflect(part, k));
        }
    }
}

impl<T: Scalar> Product<T> for Hidden<'_> {
    fn domain(&self) -> Shape {
        self.shape
    }
    fn codomain(&self) -> Shape {
        self.shape
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        let per = self.shape.per_trajectory();
        for v in columns {
            let mut all: Vec<f64> =
                (0..self.shape.trajectories).flat_map(|b| x.part(b, v).iter().map(|x| x.f64())).collect();
            self.times(&mut all);
            for (b, part) in all.chunks(per).enumerate() {
                y.part_mut(b, v).iter_mut().zip(part).for_each(|(y, x)| *y = T::of(*x));
            }
        }
        Ok(())
    }
}

/// Counts of a row of cells.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<usize>)>,
}

impl Table {
    /// Counts, at every budget, the seeds whose interval holds the truth.
    fn add(&mut self, what: &str, truth: f64, slack: f64, estimate: impl Fn(u64, Budget) -> Estimate) {
        let cell = |&max_matvecs: &usize| {
            let holds = |seed: &u64| {
                let found = estimate(*seed, Budget { rtol: 0.0, max_matvecs });
                let [low, high] = found.interval;
                assert!(low <= found.value && found.value <= high, "{what}: {found:?}");
                assert!(found.matvecs <= max_matvecs, "{what}: {found:?}");
                low - slack * truth.abs() <= truth && truth <= high + slack * truth.abs()
            };
            (0..SEEDS).filter(holds).count()
        };
        self.rows.push((what.to_owned(), BUDGETS.iter().map(cell).collect()));
    }

    fn check(&self, least: usize) {
        self.rows.iter().for_each(|(what, counts)| println!("{what:>50} {counts:?}"));
        let few: Vec<_> = self.rows.iter().filter(|(_, counts)| counts.iter().any(|&c| c < least)).collect();
        assert!(few.is_empty(), "of {SEEDS} fewer than {least} hold the truth: {few:#?}");
    }
}

type Method<T> = (&'static str, fn(&Problem<'_, T>, &Budget) -> Result<Estimate>);

#[test]
fn intervals_of_traces_hold_the_truth() {
    let methods: [Method<f64>; 5] = [
        ("hutchinson", |p, b| hutchinson(p, b)),
        ("hutchpp", |p, b| hutchpp(p, b)),
        ("nystrompp", |p, b| nystrompp(p, b)),
        ("xtrace", |p, b| xtrace(p, b)),
        ("xnystrace", |p, b| xnystrace(p, b)),
    ];
    let mut table = Table::default();
    for (kind, values) in spectra(N) {
        let op = Hidden::new(&values, SHAPE, false);
        for (name, method) in methods {
            table.add(&format!("{name} of {kind}"), values.iter().sum(), 1e-12, |seed, budget| {
                method(&Problem::alone(&op, seed), &budget).unwrap()
            });
        }
    }
    table.check(LEAST);
}

#[test]
fn intervals_of_traces_by_trajectory_hold_the_truth() {
    let methods: [Method<f64>; 3] = [
        ("per_trajectory", |p, b| per_trajectory(p, b)),
        ("per_trajectory_xnystrace", |p, b| per_trajectory_xnystrace(p, b)),
        ("auto", |p, b| auto(p, b, None)),
    ];
    let mut table = Table::default();
    for (kind, values) in spectra(SHAPE.per_trajectory()) {
        let op = Hidden::new(&values, SHAPE, true);
        for (name, method) in methods {
            table.add(&format!("{name} of {kind}"), 3.0 * values.iter().sum::<f64>(), 1e-12, |seed, budget| {
                method(&Problem::alone(&op, seed), &budget).unwrap()
            });
        }
    }
    table.check(LEAST);
}

#[test]
fn intervals_of_second_moments_hold_the_truth() {
    let mut table = Table::default();
    for (kind, values) in spectra(N) {
        let roots: Vec<f64> = values.iter().map(|v| v.sqrt()).collect();
        let (op, factor) = (Hidden::new(&values, SHAPE, false), Hidden::new(&roots, SHAPE, false));
        let (trace, square) = (values.iter().sum::<f64>(), values.iter().map(|v| v * v).sum::<f64>());
        let (norm, rank) = (square.sqrt(), trace * trace / square);
        let of = |seed| Problem::<f64>::alone(&op, seed);
        let swept = |seed| Problem::<f64>::alone(&factor, seed);
        let mut add = |what: &str, truth: f64, f: &dyn Fn(u64, Budget) -> Estimate| {
            table.add(&format!("{what} of {kind}"), truth, 1e-12, f);
        };
        add("one-sided trace", trace, &|s, b| one_sided(&swept(s), &b).unwrap());
        add("frobenius", norm, &|s, b| frobenius(&of(s), &b).unwrap());
        add("deflated frobenius", norm, &|s, b| frobenius_deflated(&of(s), &b).unwrap());
        add("norm by pairs", norm, &|s, b| pair_statistic(&swept(s), &b, SecondMoment::Frobenius).unwrap());
        add("rank by pairs", rank, &|s, b| pair_statistic(&swept(s), &b, SecondMoment::EffectiveRank).unwrap());
        add("effective rank", rank, &|s, b| effective_rank_sampled(&of(s), &b).unwrap());
        add("effective rank by parts", rank, &|s, b| {
            let third = Budget { max_matvecs: b.max_matvecs.div_ceil(3), ..b };
            let rest = Budget { max_matvecs: b.max_matvecs - third.max_matvecs, ..b };
            let trace = xnystrace(&of(s), &third).unwrap();
            effective_rank(&trace, &frobenius_deflated(&of(s), &rest).unwrap(), 0.0)
        });
        add("stable rank", square / values[0].powi(2), &|s, b| {
            stable_rank(&frobenius_deflated(&of(s), &b).unwrap(), &Estimate::exact(values[0], 0), 0.0)
        });
    }
    table.check(LEAST);
}

#[test]
fn intervals_of_blocks_and_alignments_hold_the_truth() {
    let mut table = Table::default();
    let part_of: Vec<usize> = (0..SHAPE.per_trajectory()).map(|i| usize::from(i % SHAPE.units >= 4)).collect();
    for (kind, values) in spectra(N) {
        let op = Hidden::new(&values, SHAPE, false);
        let a = op.matrix();
        let part = |i: usize| part_of[i % part_of.len()];
        let block = |x: usize, y: usize| {
            let square = |i: usize| (0..N).filter(|&j| part(j) == y).map(|j| a[i * N + j].powi(2)).sum::<f64>();
            (0..N).filter(|&i| part(i) == x).map(square).sum::<f64>().sqrt()
        };
        let run = |seed, b: Budget| blocks(&Problem::<f64>::alone(&op, seed), &b, &part_of, 2).unwrap();
        let none = |value, error| Estimate::new(value, error, 0, StopReason::Budget, Vec::new());
        for (at, truth) in [(0, block(0, 0)), (1, block(0, 1)), (3, block(1, 1))] {
            table.add(&format!("norm {at} of blocks of {kind}"), truth, 1e-12, |s, b| {
                let found = run(s, b);
                none(found.norms[at], found.norm_errors[at])
            });
        }
        table.add(&format!("trace by blocks of {kind}"), values.iter().sum(), 1e-12, |s, b| {
            let [value, error, low, high] = run(s, b).trace;
            Estimate { interval: [low, high], ..none(value, error) }
        });
        let turned: Vec<f64> = values.iter().enumerate().map(|(i, v)| v * (1.5 + (3.0 * i as f64).sin())).collect();
        let other = Hidden::new(&turned, SHAPE, false);
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let truth = dot(&values, &turned) / (dot(&values, &values) * dot(&turned, &turned)).sqrt();
        for deflate in [false, true] {
            table.add(&format!("alignment ({deflate}) of {kind}"), truth, 1e-12, |s, b| {
                let [x, y] = [&op, &other].map(|op| Problem::<f64>::alone(op, s));
                alignment(&x, &y, &b, deflate).unwrap()
            });
        }
        let roots = [&values, &turned].map(|v| v.iter().map(|x| x.sqrt()).collect::<Vec<f64>>());
        let factors = [0, 1].map(|i| Hidden::new(&roots[i], SHAPE, false));
        table.add(&format!("alignment by pairs of {kind}"), truth, 1e-12, |s, b| {
            let [x, y] = [0, 1].map(|i| Problem::<f64>::alone(&factors[i], s));
            pair_alignment(&x, &y, &b).unwrap()
        });
    }
    table.check(LEAST);
}
