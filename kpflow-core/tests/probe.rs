//! Probes: known answers, any part by itself, statistics; and the estimators that need no allocation.

mod common;

use common::{allocations, distance, random};
use kpflow_core::operator::{Compose, Dense, Gram, Identity, Scaled};
use kpflow_core::probe::{add_gram, hutchinson, philox4x32, power_iteration, Distribution, Probe, Running, StopReason};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

const BOTH: [Distribution; 2] = [Distribution::Rademacher, Distribution::Gaussian];

fn probe(seed: u64, distribution: Distribution) -> Probe {
    Probe { seed, stream: 0, distribution }
}

fn fill<T: Scalar>(probe: &Probe, trajectory: usize, vector: usize, shape: Shape, vectors: usize) -> Vec<T> {
    let mut x = vec![T::nan(); vectors * shape.len()];
    probe.fill(trajectory, vector, BlockMut::new(shape, vectors, &mut x).unwrap()).unwrap();
    x
}

/// The vectors that Random123 publishes for philox4x32 with ten rounds (its file kat_vectors).
#[test]
fn the_generator_gives_the_known_answers() {
    let ones = u32::MAX;
    for (counter, key, answer) in [
        ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
        ([ones; 4], [ones; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
        (
            [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
            [0xa4093822, 0x299f31d0],
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
        ),
    ] {
        assert_eq!(philox4x32(counter, key), answer);
    }
}

/// The documented counter, by hand: a change of it would silently change every published number.
#[test]
fn numbers_come_from_the_documented_counter() {
    let (seed, shape) = (0x0123_4567_89ab_cdef, Shape::new(2, 3, 300));
    let key = [0x89ab_cdef, 0x0123_4567];
    let probe = Probe { seed, stream: 7, distribution: Distribution::Rademacher };
    let x: Vec<f64> = fill(&probe, 10, 20, shape, 2);
    let (b, v, t, j) = (1, 1, 2, 290);
    let words = philox4x32([7 << 24 | (j / 128) as u32, t as u32, 10 + b as u32, 20 + v as u32], key);
    let bit = words[j % 128 / 32] >> (j % 32) & 1;
    assert_eq!(BlockRef::new(shape, 2, &x).unwrap().part(b, v).unwrap()[t * 300 + j], 1.0 - 2.0 * f64::from(bit));
}

#[test]
fn any_part_can_be_made_by_itself() {
    let whole = Shape::new(4, 3, 131);
    for distribution in BOTH {
        let p = probe(5, distribution);
        let all: Vec<f64> = fill(&p, 100, 1000, whole, 6);
        let all = BlockRef::new(whole, 6, &all).unwrap();
        for (b, v, count, vectors) in [(0, 0, 4, 6), (1, 2, 2, 3), (3, 5, 1, 1), (0, 4, 1, 2), (2, 0, 2, 1)] {
            let shape = whole.with_trajectories(count);
            let part: Vec<f64> = fill(&p, 100 + b, 1000 + v, shape, vectors);
            let part = BlockRef::new(shape, vectors, &part).unwrap();
            for (i, k) in (0..count).flat_map(|i| (0..vectors).map(move |k| (i, k))) {
                assert_eq!(part.part(i, k), all.part(b + i, v + k), "{distribution:?}");
            }
        }
        // Fewer steps or units are the beginning of more.
        let small: Vec<f64> = fill(&p, 100, 1000, Shape::new(1, 2, 77), 1);
        for t in 0..2 {
            assert_eq!(small[t * 77..][..77], all.part(0, 0).unwrap()[t * 131..][..77]);
        }
    }
}

#[test]
fn floats_are_rounded_doubles() {
    let shape = Shape::new(2, 3, 50);
    for distribution in BOTH {
        let wide: Vec<f64> = fill(&probe(3, distribution), 0, 0, shape, 4);
        let narrow: Vec<f32> = fill(&probe(3, distribution), 0, 0, shape, 4);
        assert!(wide.iter().zip(&narrow).all(|(x, y)| *x as f32 == *y));
    }
}

#[test]
fn seeds_streams_and_coordinates_all_matter() {
    let shape = Shape::new(1, 1, 64);
    for distribution in BOTH {
        let p = probe(1, distribution);
        let base: Vec<f64> = fill(&p, 0, 0, shape, 1);
        let others = [
            fill(&Probe { seed: 2, ..p }, 0, 0, shape, 1),
            fill(&Probe { seed: 1 | 1 << 32, ..p }, 0, 0, shape, 1),
            fill(&Probe { stream: 1, ..p }, 0, 0, shape, 1),
            fill(&p, 1, 0, shape, 1),
            fill(&p, 0, 1, shape, 1),
            fill::<f64>(&p, 0, 0, Shape::new(1, 2, 64), 1)[64..].to_vec(),
        ];
        for (i, x) in others.iter().enumerate() {
            assert!(others[i + 1..].iter().all(|y| x != y) && *x != base, "{distribution:?} {i}");
        }
    }
}

#[test]
fn numbers_that_would_repeat_are_refused() {
    let p = probe(0, Distribution::Rademacher);
    let run = |p: Probe, trajectory: usize, vector: usize| {
        let mut x = [0f32; 2];
        p.fill(trajectory, vector, BlockMut::new(Shape::new(1, 1, 1), 2, &mut x).unwrap()).is_ok()
    };
    let last = u32::MAX as usize;
    assert!(run(p, last, last - 1) && run(Probe { stream: 255, ..p }, 0, 0));
    assert!(!run(Probe { stream: 256, ..p }, 0, 0));
    if usize::BITS > 32 {
        assert!(!run(p, last + 1, 0) && !run(p, 0, last) && !run(p, 0, usize::MAX));
    }
    // A block without numbers is filled like any other.
    fill::<f32>(&p, 0, 0, Shape::new(2, 0, 3), 2);
    fill::<f32>(&p, 0, 0, Shape::new(2, 3, 0), 2);
    fill::<f32>(&p, 0, 0, Shape::new(2, 3, 3), 0);
}

/// Moments of 600,000 numbers, and correlations between neighbours along every coordinate, within 5 standard errors.
#[test]
fn moments_and_correlations_are_right() {
    let (shape, m) = (Shape::new(10, 30, 100), 20);
    let (n, one_vector) = ((m * shape.len()) as f64, shape.per_trajectory());
    for (distribution, fourth, spread_2, spread_4) in
        [(Distribution::Rademacher, 1.0, 0.0, 0.0), (Distribution::Gaussian, 3.0, 2.0f64, 96.0f64)]
    {
        for seed in 0..4 {
            let x: Vec<f64> = fill(&probe(seed, distribution), 0, 0, shape, m);
            let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n;
            let near = |what: &str, value: f64, truth: f64, variance: f64| {
                let off = (value - truth).abs();
                assert!(off <= 5.0 * (variance / n).sqrt() + 1e-12, "{distribution:?} {seed} {what}: {value}");
            };
            near("mean", moment(1), 0.0, 1.0);
            near("variance", moment(2), 1.0, spread_2);
            near("third moment", moment(3), 0.0, if fourth == 1.0 { 1.0 } else { 15.0 });
            near("fourth moment", moment(4), fourth, spread_4);
            // Lags: units (within a counter and across), steps, vectors, trajectories.
            for lag in [1, 2, 3, 4, 32, 100, one_vector, m * one_vector] {
                let sum: f64 = x.iter().zip(&x[lag..]).map(|(x, y)| x * y).sum();
                let sum_2: f64 = x.iter().zip(&x[lag..]).map(|(x, y)| (x * x - 1.0) * (y * y - 1.0)).sum();
                near(&format!("lag {lag}"), sum / n, 0.0, 1.0);
                near(&format!("squares, lag {lag}"), sum_2 / n, 0.0, spread_2 * spread_2);
            }
        }
    }
}

/// Kolmogorov and Smirnov's distance from the normal distribution; 1.95/√n is passed once in a thousand seeds.
#[test]
fn gaussians_are_normal() {
    let shape = Shape::new(1, 100, 1000);
    let mut x: Vec<f64> = fill(&probe(9, Distribution::Gaussian), 0, 0, shape, 1);
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    // Φ by Simpson's rule from one number to the next: exact enough, and no erf is needed.
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let (mut at, mut cdf, mut worst) = (-9.0, 0.0, 0.0f64);
    for (i, &x) in x.iter().enumerate() {
        let steps = ((x - at) / 0.05).ceil().max(1.0) as usize;
        let h = (x - at) / steps as f64;
        for _ in 0..steps {
            cdf += h / 6.0 * (density(at) + 4.0 * density(at + h / 2.0) + density(at + h));
            at += h;
        }
        worst = worst.max((cdf - i as f64 / n).abs()).max((cdf - (i as f64 + 1.0) / n).abs());
    }
    assert!((cdf - 1.0).abs() < 1e-3 && worst < 1.95 / n.sqrt(), "{worst}");
}

const SHAPE: Shape = Shape::new(2, 2, 5);

/// A positive semidefinite matrix with some correlation, as a Gram operator's factor.
fn factor<T: Scalar>() -> Vec<T> {
    random(Shape::new(1, SHAPE.len(), SHAPE.len()), 1, 3)
}

fn gram_matrix(f: &[f64]) -> Vec<f64> {
    let n = SHAPE.len();
    (0..n * n).map(|i| (0..n).map(|k| f[i / n * n + k] * f[i % n * n + k]).sum()).collect()
}

fn estimate<T: Scalar>(
    op: &dyn LinearOperator<T>,
    p: &Probe,
    vectors: std::ops::Range<usize>,
    block: usize,
) -> Running {
    let (mut x, mut y) = (vec![T::nan(); block * SHAPE.len()], vec![T::nan(); block * SHAPE.len()]);
    let mut scratch = vec![T::nan(); op.scratch_len(block)];
    let mut running = Running::default();
    let count = allocations(|| running = hutchinson(op, p, vectors, block, &mut x, &mut y, &mut scratch).unwrap());
    assert_eq!(count, 0);
    running
}

#[test]
fn hutchinson_is_its_naive_twin_whatever_the_block() {
    let f = factor();
    let (op, a) = (Gram(Dense::new(&f, SHAPE, SHAPE).unwrap()), gram_matrix(&f));
    for distribution in BOTH {
        let p = probe(4, distribution);
        let samples: Vec<f64> = (3..14)
            .map(|v| {
                let x: Vec<f64> = fill(&p, 0, v, SHAPE, 1);
                (0..x.len()).map(|i| x[i] * (0..x.len()).map(|j| a[i * x.len() + j] * x[j]).sum::<f64>()).sum()
            })
            .collect();
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
        for block in [1, 2, 5, 11, 64] {
            let r = estimate(&op, &p, 3..14, block);
            assert_eq!(r.count(), 11);
            assert!((r.mean() - mean).abs() < 1e-12 * mean && (r.variance() - variance).abs() < 1e-11 * variance);
            assert!((r.standard_error() - (variance / n).sqrt()).abs() < 1e-11 * mean);
        }
        let mut halves = estimate(&op, &p, 3..7, 2);
        halves.merge(&estimate(&op, &p, 7..14, 3));
        halves.merge(&Running::default());
        assert!((halves.variance() - variance).abs() < 1e-11 * variance && halves.count() == 11);
        let single = estimate::<f32>(&Identity(SHAPE), &probe(0, Distribution::Rademacher), 0..3, 2);
        assert_eq!((single.mean(), single.standard_error()), (SHAPE.len() as f64, 0.0));
    }
    assert_eq!(estimate(&op, &probe(0, BOTH[0]), 0..0, 1), Running::default());
    assert!(estimate(&op, &probe(0, BOTH[0]), 0..1, 1).standard_error().is_infinite());
}

#[test]
fn traces_are_unbiased_and_their_errors_cover() {
    let f = factor();
    let (op, a) = (Gram(Dense::new(&f, SHAPE, SHAPE).unwrap()), gram_matrix(&f));
    let n = SHAPE.len();
    let truth: f64 = (0..n).map(|i| a[i * n + i]).sum();
    let all: f64 = a.iter().map(|a| a * a).sum();
    let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
    for (distribution, variance) in BOTH.into_iter().zip([2.0 * (all - diagonal), 2.0 * all]) {
        let (mut means, mut squares, mut covered) = (Running::default(), Running::default(), 0);
        for seed in 0..400 {
            let r = estimate(&op, &probe(seed, distribution), 0..40, 8);
            means.push(r.mean());
            squares.push(r.variance());
            covered += u32::from((r.mean() - truth).abs() <= 1.96 * r.standard_error());
        }
        assert!((means.mean() - truth).abs() <= 4.0 * means.standard_error(), "{distribution:?}: {means:?}");
        assert!((squares.mean() - variance).abs() <= 4.0 * squares.standard_error(), "{distribution:?} {variance}");
        // 95 % of 400, less a little for 40 samples' t distribution; ±4 binomial standard deviations are ±17.
        assert!((358..=397).contains(&covered), "{distribution:?}: {covered} of 400 covered");
    }
}

#[test]
fn power_iteration_finds_the_norm() {
    let f = factor::<f64>();
    let op = Gram(Dense::new(&f, SHAPE, SHAPE).unwrap());
    let p = probe(1, Distribution::Gaussian);
    let run = |op: &dyn LinearOperator<f64>, budget: usize, rtol: f64| {
        let (mut x, mut y) = (vec![f64::NAN; SHAPE.len()], vec![f64::NAN; SHAPE.len()]);
        let mut scratch = vec![f64::NAN; op.scratch_len(1)];
        let mut power = None;
        let count = allocations(|| power = power_iteration(op, &p, budget, rtol, &mut x, &mut y, &mut scratch).ok());
        assert_eq!(count, 0);
        (power.unwrap(), x)
    };
    let (power, x) = run(&op, 10_000, 1e-10);
    assert_eq!(power.reason, StopReason::Converged);
    assert!((common::norm(&x) - 1.0).abs() < 1e-12 && power.residual <= 1e-10 * power.ritz_value);
    let ax = common::product(&op, 1, &x);
    let scaled: Vec<f64> = x.iter().map(|x| power.ritz_value * x).collect();
    assert!(distance(&ax, &scaled) <= 2.0 * power.residual + 1e-13 * power.ritz_value);
    // No unit vector does better: the norm of many powers' Gram, against λ.
    let squared = Compose::new(op, op).unwrap();
    let (square, _) = run(&squared, 10_000, 1e-10);
    assert!((square.ritz_value.sqrt() - power.ritz_value).abs() < 1e-8 * power.ritz_value);
    for seed in 0..50 {
        let v: Vec<f64> = fill(&probe(seed, Distribution::Gaussian), 0, 1, SHAPE, 1);
        let av = common::product(&op, 1, &v);
        assert!(common::norm(&av) <= power.ritz_value * (1.0 + 1e-12) * common::norm(&v));
    }

    let (short, _) = run(&op, 3, 1e-14);
    assert_eq!((short.reason, short.num_matvecs), (StopReason::Budget, 3));
    assert!(short.ritz_value <= power.ritz_value * (1.0 + 1e-12));
    let (zero, _) = run(&Scaled::new(0.0, Identity(SHAPE)), 5, 1e-6);
    assert_eq!((zero.ritz_value, zero.residual, zero.reason), (0.0, 0.0, StopReason::Converged));
    let (none, _) = run(&Scaled::new(f64::NAN, Identity(SHAPE)), 5, 1e-6);
    assert_eq!((none.reason, none.num_matvecs), (StopReason::NotFinite, 1));
    let (idle, _) = run(&op, 0, 1e-6);
    assert_eq!((idle.reason, idle.num_matvecs), (StopReason::Budget, 0));
}

fn gram_agrees<T: Scalar>() {
    let shape = Shape::new(3, 4, 7);
    let (x, y): (Vec<T>, Vec<T>) = (random(shape, 4, 1), random(shape, 3, 2));
    let (x, y) = (BlockRef::new(shape, 4, &x).unwrap(), BlockRef::new(shape, 3, &y).unwrap());
    let (mut whole, mut pieces) = ([0.0; 12], [0.0; 12]);
    add_gram(x, y, &mut whole).unwrap();
    for range in [0..1, 1..3] {
        add_gram(x.trajectories(range.clone()).unwrap(), y.trajectories(range).unwrap(), &mut pieces).unwrap();
    }
    for v in 0..4 {
        for w in 0..3 {
            let (a, b) = (common::vector(x, v), common::vector(y, w));
            let truth: f64 = a.iter().zip(&b).map(|(a, b)| a.f64() * b.f64()).sum();
            assert!((whole[v * 3 + w] - truth).abs() < 1e-13 && (pieces[v * 3 + w] - truth).abs() < 1e-13);
        }
    }
}

#[test]
fn grams_are_summed_in_doubles_piece_by_piece() {
    gram_agrees::<f64>();
    gram_agrees::<f32>();
    let block = BlockRef::new(Shape::new(1, 1, 2), 2, &[0.0; 4]).unwrap();
    assert_eq!(add_gram(block, block, &mut [0.0; 3]), Err(Error::Length { expected: 4, found: 3 }));
}

/// `cargo test --release -p kpflow-core --test probe -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn rates() {
    let (shape, m) = (Shape::new(15, 50, 64), 16);
    let mut x = vec![0f32; m * shape.len()];
    for distribution in BOTH {
        let start = std::time::Instant::now();
        (0..10).for_each(|i| probe(i, distribution).fill(0, 0, BlockMut::new(shape, m, &mut x).unwrap()).unwrap());
        println!("{distribution:?}: {:.2} ns a number", start.elapsed().as_secs_f64() * 1e8 / x.len() as f64);
    }
    let (block, mut sums) = (BlockRef::new(shape, m, &x).unwrap(), vec![0.0; m * m]);
    let start = std::time::Instant::now();
    (0..10).for_each(|_| add_gram(block, block, &mut sums).unwrap());
    let flops = (20 * m * m * shape.len()) as f64;
    println!("Gram: {:.2} GFLOP/s", flops / start.elapsed().as_secs_f64() / 1e9);
}
