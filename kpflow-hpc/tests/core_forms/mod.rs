//! What inference alone says of the Kronecker core, against golden numbers and against K, formed.

use super::apply;
use kpflow_core::machine::Portable;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    core_numbers, core_numbers_scratch_len, energy_shares, CoreSums, Features, KroneckerCore, ParameterOperator,
};
use kpflow_core::{Axis, LinearOperator, Scalar, Shape};

/// The golden numbers that are compared with.
pub struct Reference {
    pub trace: f64,
    pub frobenius: f64,
    pub effective_rank: f64,
    pub ntk_eigenvalues: Vec<f64>,
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found} against {expected}");
}

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let worst = found.iter().zip(expected).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs()));
    assert!(worst <= tolerance * scale, "{what}: {worst:e} of {scale:e}");
}

/// An operator, formed column by column.
fn formed<T: Scalar>(op: &dyn LinearOperator<T>) -> Vec<f64> {
    let n = op.domain().len();
    let column = |j: usize| {
        let e: Vec<T> = (0..n).map(|i| if i == j { T::one() } else { T::zero() }).collect();
        apply(op, &e, 1, false)
    };
    let columns: Vec<Vec<T>> = (0..n).map(column).collect();
    (0..n * n).map(|e| columns[e % n][e / n].f64()).collect()
}

/// Σ over the other axes of K[(…i…), (…k…)].
fn marginal_of(k: &[f64], shape: Shape, axis: Axis) -> Vec<f64> {
    let (t, u) = (shape.steps, shape.units);
    let (d, stride) = match axis {
        Axis::Trajectory => (shape.trajectories, t * u),
        Axis::Step => (t, u),
        Axis::Unit => (u, 1),
    };
    let n = shape.len();
    let others = || (0..n).filter(move |i| i / stride % d == 0);
    (0..d * d).map(|e| others().map(|i| k[(i + e / d * stride) * n + i + e % d * stride]).sum()).collect()
}

pub fn check<T: Scalar>(
    lin: &Linearization<'_, T>,
    features: &Features<'_, T>,
    rows: &[T],
    reference: &Reference,
    tolerance: f64,
) {
    let shape = lin.shape();
    let positions = shape.trajectories * shape.steps;
    let k = formed(&ParameterOperator::new(lin, &Portable));
    let mut scratch = vec![T::nan(); shape.units];
    for (axis, d) in [(Axis::Trajectory, shape.trajectories), (Axis::Step, shape.steps), (Axis::Unit, shape.units)] {
        let mut marginal = vec![f64::NAN; d * d];
        features.marginal(axis, rows, &mut marginal, &mut scratch).unwrap();
        close("marginal of K", &marginal, &marginal_of(&k, shape, axis), tolerance);
        near("its trace", (0..d).map(|i| marginal[i * d + i]).sum(), reference.trace, tolerance);
    }

    // Every site's sums, with an error signal at its outputs.
    let sizes: Vec<_> = (0..features.sites()).map(|s| features.core_size(s, true).unwrap()).collect();
    let mut memory: Vec<Vec<f64>> = sizes.iter().map(|s| vec![f64::NAN; s.memory_len()]).collect();
    let mut sums: Vec<CoreSums<'_>> =
        sizes.iter().zip(&mut memory).map(|(size, m)| CoreSums::new(*size, m).unwrap()).collect();
    let (mut core, mut unit) = (vec![0.0; positions * positions], vec![0.0; shape.units * shape.units]);
    for (site, sums) in sums.iter_mut().enumerate() {
        let size = sizes[site];
        let error: Vec<T> = (0..positions * size.outputs()).map(|i| T::of((0.3 * i as f64).sin())).collect();
        features.accumulate(site, rows, &error, sums).unwrap();
        sums.add_unit_marginal(&mut unit).unwrap();

        let (count, len) = features.modes_len(site, positions).unwrap();
        let (mut values, mut modes) = (vec![f64::NAN; count], vec![f64::NAN; count * positions]);
        let rank = features.modes(site, rows, &mut values, &mut modes, &mut vec![f64::NAN; len]).unwrap();
        near("tr G", values.iter().sum(), sums.gram_trace(), tolerance);
        near("‖G‖_F", values.iter().map(|x| x * x).sum::<f64>().sqrt(), sums.gram_frobenius(), tolerance);
        for (value, v) in values.iter().zip(modes.chunks_exact(positions)) {
            let value = size.gates as f64 * value;
            core.iter_mut().enumerate().for_each(|(e, c)| *c += value * v[e / positions] * v[e % positions]);
        }
        let n = size.columns();
        let (mut found, mut patterns) = (vec![0.0; n], vec![0.0; n * n]);
        sums.modes(&mut found, &mut patterns, &mut vec![0.0; n * n]).unwrap();
        close("eigenvalues of G", &found[..count.min(n)], &values[..count.min(n)], tolerance);
        let mut shares = vec![0.0; rank];
        energy_shares(positions, &modes[..rank * positions], &error, &mut shares).unwrap();
        assert!(shares.iter().sum::<f64>() <= 1.0 + 1e-12);
        // Weak modes are those of squares: the sums resolve them to ε λ_1/λ.
        let strong = values.iter().take(rank).filter(|x| **x > 1e-5 * values[0]).count();
        for count in 0..=strong {
            let share = sums.error_share(&found, &patterns, count).unwrap();
            assert!((share - shares[..count].iter().sum::<f64>()).abs() <= tolerance, "{count} modes: {share}");
        }
    }
    // The operator counts every weight once; here a weight counts for each of its gates, however they are divided among sites.
    let gates = (lin.graph().weights()[0].n_out / sizes[0].hidden) as f64;
    let truth: Vec<f64> = formed(&KroneckerCore::new(lin, &Portable).unwrap()).iter().map(|x| gates * x).collect();
    close("Σ_sites gates Σ_i λ_i v_i v_iᵀ", &core, &truth, tolerance);
    close("marginal over units from sums", &unit, &marginal_of(&k, shape, Axis::Unit), tolerance);

    let numbers = core_numbers(&sums, &mut vec![f64::NAN; core_numbers_scratch_len(&sums)]).unwrap();
    near("parameter/trace from sums", numbers.trace, reference.trace, tolerance);
    let mut work = vec![T::nan(); features.frobenius_scratch_len()];
    let squared = features.frobenius_squared(rows, rows, &Portable, &mut work).unwrap();
    let effective = features.trace(rows).unwrap().powi(2) / squared;
    near("parameter/effective_rank", effective, reference.effective_rank, tolerance);
    let (low, high) = numbers.frobenius;
    assert!(low <= reference.frobenius && reference.frobenius <= high, "{low} {} {high}", reference.frobenius);
    let floor = 1e-10 * reference.ntk_eigenvalues[0];
    let rank = reference.ntk_eigenvalues.iter().filter(|x| **x > floor).count();
    assert!(rank <= numbers.rank_bound, "rank NTK {rank}, Σ n_out · rank G {}", numbers.rank_bound);
    assert!(numbers.core_effective_rank >= 1.0 && numbers.core_effective_rank <= numbers.rank_bound as f64);
}
