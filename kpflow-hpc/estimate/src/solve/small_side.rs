//! Solves by an exact matrix of the operator's smaller side.

use super::{finish, Noise, Scaled, Shifted, Solution};
use crate::small::decompose;
use crate::space::{Blank, Block, Budget, Small, Space};
use crate::{DenseSpectrum, Result, StopReason};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

/// The inverse of M + s.
enum Inverse {
    /// By a triangle.
    Triangle(Llt<f64>),
    /// By eigenvalues and vectors, where rounding has left M with negative ones.
    Pairs(Vec<f64>, Vec<f64>),
}

impl Blank for Inverse {
    fn blank() -> Self {
        Self::Pairs(Vec::new(), Vec::new())
    }
}

impl Inverse {
    fn new(machine: &impl crate::Decompose, matrix: &[f64], m: usize, (unit, shift): (f64, f64)) -> Self {
        let entry = |i: usize, j: usize| {
            0.5 * unit * (matrix[i * m + j] + matrix[j * m + i]) + if i == j { shift } else { 0.0 }
        };
        match Mat::from_fn(m, m, entry).llt(Side::Lower) {
            Ok(triangle) => Self::Triangle(triangle),
            Err(_) => {
                let (values, vectors) = decompose(machine, matrix, m, true);
                Self::Pairs(values.into_iter().map(|v| unit * v.max(0.0) + shift).collect(), vectors)
            }
        }
    }

    /// (M + s)⁻¹ of some columns, `[place][vector]`; of the result `[vector][place]`.
    fn apply(&self, numbers: &[f64], m: usize, vectors: usize) -> Vec<f64> {
        match self {
            Self::Triangle(triangle) => {
                let x = triangle.solve(Mat::from_fn(m, vectors, |i, v| numbers[i * vectors + v]));
                (0..vectors).flat_map(|v| (0..m).map(|i| x[(i, v)]).collect::<Vec<_>>()).collect()
            }
            Self::Pairs(values, rows) => {
                let mut x = vec![0.0; m * vectors];
                for (value, row) in values.iter().zip(rows.chunks(m.max(1))) {
                    for (v, x) in x.chunks_mut(m.max(1)).enumerate() {
                        let along: f64 = row.iter().enumerate().map(|(i, u)| u * numbers[i * vectors + v]).sum();
                        x.iter_mut().zip(row).for_each(|(x, u)| *x += along / value * u);
                    }
                }
                x
            }
        }
    }
}

/// Solves (A + σ²) X = B by the exact matrix of a side, refined by products with A. Collective.
///
/// Of A itself, or, where `factor` has the spaces of Fᵀ and F, of FᵀF: x = (b − F (FᵀF + σ²)⁻¹ Fᵀ b)/σ² (Woodbury).
/// Where σ² is far below A's eigenvalues Woodbury's difference loses digits, and an f32 matrix has few; each refinement
/// x ← x + W(b − (A + σ²)x) brings back as many as the first has left.
/// **Cost**: m³/3 flops of a matrix of m rows, 4·m² a vector; one product with A a vector to measure the residual, and
/// up to three times a product to refine.
/// **Accuracy**: residuals are measured; the run has stagnated where they are above `rtol` nevertheless.
pub fn solve_by<S: Space>(
    space: &S,
    factor: Option<(&S, &S)>,
    spectrum: &DenseSpectrum,
    budget: &Budget,
    b: &S::Block,
    noise: Noise,
) -> Result<Solution<S::Block>> {
    /// Refinements, at most.
    const ROUNDS: usize = 3;
    let (m, vectors, operator) = (spectrum.places.len(), b.vectors(), Shifted::new(noise));
    let Shifted { unit, shift, .. } = operator;
    let scaled = Scaled::new(space, b)?;
    let inverse = space
        .small(Small::of(m, 1.0 / 3.0, 3), |machine| Ok(Inverse::new(machine, &spectrum.matrix, m, (unit, shift))))?;
    let _held = space.hold(m * m);
    let solve = |numbers: &[f64]| {
        let small = Small { flops: 4.0 * (m * vectors) as f64 * m as f64, numbers: 3 * m * vectors };
        space.small(small, |_| Ok(inverse.apply(numbers, m, vectors)))
    };
    let apply = |r: &S::Block| -> Result<S::Block> {
        match factor {
            None => Ok(space.at_places(&solve(&space.numbers(r, false))?, &spectrum.places, vectors)),
            Some((back, forward)) => {
                let inner = solve(&forward.numbers(&back.apply(r)?, true))?;
                let image = forward.apply(&forward.at_places(&inner, &spectrum.places, vectors))?;
                Ok(space.map(&[r, &image], |v| (v[0] - unit * v[1]) / shift))
            }
        }
    };
    let blind = space.unknown(1) > 0;
    let worst = |r: &S::Block| -> Result<f64> {
        let squares = space.dots(r, r)?;
        let of = |(s, b): (&f64, &f64)| if *b > 0.0 { s.sqrt() / b } else { 0.0 };
        Ok(squares.iter().zip(&scaled.norms).map(of).fold(0.0, f64::max))
    };
    let mut x = apply(&scaled.b)?;
    let mut r = operator.residual(space, &scaled.b, &x)?;
    let mut size = worst(&r)?;
    for _ in 0..ROUNDS {
        // Numbers say whether a round is called for.
        space.may_stop(&Budget { max_matvecs: space.matvecs(), ..*budget }, false);
        if !blind && (size <= 64.0 * space.epsilon() || !size.is_finite()) {
            break;
        }
        let more = apply(&r)?;
        let better = space.map(&[&x, &more], |v| v[0] + v[1]);
        drop(more);
        let rest = operator.residual(space, &scaled.b, &better)?;
        let new = worst(&rest)?;
        if !blind && (new.is_nan() || new >= size) {
            break;
        }
        let gained = new <= 0.5 * size;
        (x, r, size) = (better, rest, new);
        if !blind && !gained {
            break;
        }
    }
    let norm = spectrum.frobenius().value;
    let found = finish(space, (operator, &scaled, norm), x, &r, (budget.rtol, StopReason::Exact, Vec::new()))?;
    let sweeps = factor.map_or(0, |(back, forward)| back.matvecs() + forward.matvecs());
    Ok(Solution { matvecs: spectrum.trace().matvecs + space.matvecs() + sweeps.div_ceil(2), ..found })
}
