//! The diagonal, and the lengths of the rows.

use crate::interval::Bar;
use crate::sampling::{positive_mean, student, within, Forms, MIN_SAMPLES};
use crate::space::{Budget, Space, TESTS};
use crate::trace::{Range, Sketch};
use crate::{Estimate, Result, StopReason};

/// A_ii and ‖A_i‖ = (Σ_j A_ij²)^½ of every row i, each as one vector, and their standard errors.
#[derive(Debug)]
pub struct Diagonal<B> {
    /// A_ii.
    pub diagonal: B,
    /// Their errors.
    pub diagonal_errors: B,
    /// ‖A_i‖.
    pub rows: B,
    /// Their errors.
    pub row_errors: B,
    /// tr A, the sum of the diagonal, the products spent and why it stopped.
    pub trace: Estimate,
}

/// Directions that are taken out before sampling, at most.
const MAX_SKETCH: usize = 128;

/// Estimates the diagonal and the norms of the rows of an operator from Rademacher probes x: E x ∘ Ax = diag A and E (Ax)_i² = ‖A_i‖². Collective.
///
/// With `deflate`, which needs a symmetric A, the leading directions Q = orth(AΩ) are taken out first, as Hutch++ does for the trace (Diag++: Baston and Nakatsukasa
/// 2022): diag A = diag(AQQᵀ) + E x ∘ A(I − QQᵀ)x and ‖A_i‖² = ‖(AQ)_i‖² + E (A(I − QQᵀ)x)_i², the first terms exactly. Samples are products with x itself, projected
/// afterwards.
/// **Cost**: one product a sample (Bekas, Kokiopoulou and Saad 2007); k = a quarter of the budget, at most 128, for AΩ, as many for AQ. 2·n·k flops a sample beside it. **Accuracy**: unbiased but for the
/// root of a row's norm; a sample of A_ii has variance ‖A_i‖² − A_ii² of what is left. Standard errors are the samples', given Q, entry by entry; `rtol` is on
/// 1.96 ‖errors‖/‖diagonal‖. Where Q spans all of A nothing is left to sample, and the errors are rounding.
pub fn diagonal<S: Space>(space: &S, budget: &Budget, deflate: bool) -> Result<Diagonal<S::Block>> {
    let k = if deflate { (budget.max_matvecs / 4).min(MAX_SKETCH).min(space.len()) } else { 0 };
    let mut range = Range::new(space);
    let finite = range.extend(space, k)?;
    // What the directions say exactly: Σ_k (AQ)_ik Q_ik and Σ_k (AQ)_ik².
    let known = [space.reduce(&range.aq, &range.q, 1), space.reduce(&range.aq, &range.aq, 1)];
    let ones = space.map(&[&known[0]], |_| 1.0);
    let known_trace: f64 = space.dots(&known[0], &ones)?.iter().sum();
    // Sums of samples z = x ∘ Ax of what is left, of z², and of the squares and fourth powers of Ax.
    let mut sums: Vec<S::Block> = (0..4).map(|_| space.zeros(1)).collect();
    let (mut taken, mut forms) = (0usize, Forms::default());
    let (mut history, mut stop) = (Vec::<[f64; 3]>::new(), StopReason::Budget);
    let spanned = k > 0 && range.spans(space);
    if spanned {
        stop = StopReason::Tolerance;
    }
    loop {
        let m = space.next_block(budget, usize::MAX);
        if m == 0 || spanned || !finite {
            break;
        }
        let mut tests = Sketch::from(space, TESTS, taken);
        tests.extend(space, m)?;
        let c = space.gram(&range.q, &tests.omega)?;
        let mut rest = tests.y;
        space.add_product(&mut rest, -1.0, &range.aq, &c);
        let new = [
            space.reduce(&tests.omega, &rest, 1),
            space.reduce(&tests.omega, &rest, 2),
            space.reduce(&rest, &rest, 1),
            space.reduce(&rest, &rest, 2),
        ];
        for (sum, new) in sums.iter_mut().zip(&new) {
            *sum = space.map(&[&*sum, new], |x| x[0] + x[1]);
        }
        space.dots(&tests.omega, &rest)?.into_iter().for_each(|z| forms.push(z));
        taken += m;
        let Bar { value, error, .. } = forms.bar().plus(known_trace);
        if !value.is_finite() {
            stop = StopReason::Overflow;
            break;
        }
        history.push([space.matvecs() as f64, value, error]);
        space.tell(value, error);
        let [found, errors] = entries(space, &known[0], [&sums[0], &sums[1]], taken, false);
        let squares = [space.dots(&errors, &errors)?, space.dots(&found, &found)?];
        let [error, size] = squares.map(|s| s.iter().sum::<f64>().sqrt());
        let rounding = error <= 2.0 * space.epsilon() * size;
        if taken >= MIN_SAMPLES && space.may_stop(budget, within(budget.rtol, error, size) || rounding) {
            stop = StopReason::Tolerance;
            break;
        }
    }
    if !finite {
        stop = StopReason::Overflow;
    }
    let [diagonal, diagonal_errors] = entries(space, &known[0], [&sums[0], &sums[1]], taken, false);
    let [squares, square_errors] = entries(space, &known[1], [&sums[2], &sums[3]], taken, true);
    let rows = space.map(&[&squares], |x| x[0].max(0.0).sqrt());
    // The error of a root; where the square is 0 it is the root of the square's error.
    let row_errors = space.map(&[&rows, &square_errors], |x| match x[0] > 0.0 {
        true => x[1] / (2.0 * x[0]),
        false => x[1].sqrt(),
    });
    let trace = match spanned {
        true => Bar::normal(known_trace, space.epsilon() * known_trace.abs()),
        false => forms.bar().plus(known_trace),
    };
    let trace = trace.estimate(space.matvecs(), stop, history);
    Ok(Diagonal { diagonal, diagonal_errors, rows, row_errors, trace })
}

/// What is known and the mean of so many samples beside it, and the standard error of that, entry by entry, from the sums of the samples and of their squares.
///
/// Means of squares have errors as wide as they are to the side of larger means. An error is not below rounding of what is known; of samples that do not scatter nothing is known but that.
fn entries<S: Space>(
    space: &S,
    known: &S::Block,
    [sums, squares]: [&S::Block; 2],
    taken: usize,
    are_squares: bool,
) -> [S::Block; 2] {
    let (n, epsilon) = (taken.max(1) as f64, space.epsilon());
    let wide = if taken > 1 { student(n - 1.0) } else { f64::INFINITY };
    let mean = space.map(&[known, sums], |x| x[0] + x[1] / n);
    let errors = space.map(&[known, sums, squares], |x| {
        let variance = (x[2] / n - (x[1] / n).powi(2)).max(0.0) / (n - 1.0).max(1.0);
        // Differences of sums are right to rounding of the sums.
        let least = epsilon * (x[0].abs() + (x[2] / n).abs().sqrt());
        let sampled = match variance > 0.0 {
            // One sample has no scatter that could be seen.
            _ if taken == 1 && x[2] != 0.0 => f64::INFINITY,
            true if are_squares && x[1] > 0.0 => positive_mean(x[1] / n, variance.sqrt(), n).error,
            true => variance.sqrt() * wide,
            false => 0.0,
        };
        sampled.max(if x[0] == 0.0 && x[2] == 0.0 { 0.0 } else { least })
    });
    [mean, errors]
}

/// The diagonal and the norms of the rows from the whole matrix, `[n, n]` row-major: no error.
pub fn diagonal_of<S: Space>(space: &S, matrix: &[f64], places: &[usize]) -> Result<Diagonal<S::Block>> {
    let n = places.len();
    let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..if matrix.is_empty() { 0 } else { n }).map(f).collect() };
    let norm = |i: usize| matrix[i * n..][..n].iter().map(|x| x * x).sum::<f64>().sqrt();
    let (entries, rows) = (of(&|i| matrix[i * n + i]), of(&norm));
    let trace = Estimate { history: Vec::new(), ..Estimate::exact(entries.iter().sum(), space.matvecs()) };
    Ok(Diagonal {
        diagonal: space.at_places(&entries, places, 1),
        diagonal_errors: space.zeros(1),
        rows: space.at_places(&rows, places, 1),
        row_errors: space.zeros(1),
        trace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{coverage, decaying, flat, hidden, with};
    use crate::{dense, Problem, Tall};

    /// Of every entry of a block, as an estimate.
    fn entry(found: &Diagonal<Tall<f64>>, i: usize, row: bool) -> Estimate {
        let (x, e) = if row { (&found.rows, &found.row_errors) } else { (&found.diagonal, &found.diagonal_errors) };
        Estimate::new(x.data[i], e.data[i], 0, StopReason::Budget, Vec::new())
    }

    #[test]
    fn error_bars_of_entries_cover_the_truth() {
        for (kind, values) in [("decaying", decaying(60)), ("flat", flat(60))] {
            let (a, n) = (hidden(&values), values.len());
            let trace: f64 = values.iter().sum();
            for deflate in [false, true] {
                let run = |p: &Problem<'_, f64>| diagonal(p, &Budget { rtol: 0.0, max_matvecs: 60 }, deflate).unwrap();
                for i in [0, 17, 59] {
                    let norm = (0..n).map(|j| a[i * n + j].powi(2)).sum::<f64>().sqrt();
                    let of = |row| {
                        coverage(if row { norm } else { a[i * n + i] }, |seed| {
                            with(&values, seed, 8, |p| entry(&run(p), i, row))
                        })
                    };
                    let (diagonal, rows) = (of(false).0, of(true).0);
                    println!("{kind}, {deflate}, {i}: {diagonal}, {rows} of 200");
                    assert!(diagonal >= 176 && rows >= 170, "{kind}, {deflate}, {i}: {diagonal}, {rows} of 200 cover");
                }
                let (covered, _) = coverage(trace, |seed| with(&values, seed, 8, |p| run(p).trace));
                assert!(covered >= 176, "the trace: {covered}");
            }
        }
    }

    #[test]
    fn low_rank_is_exact() {
        let values: Vec<f64> = (0..30).map(|i| if i < 5 { 5.0 - i as f64 } else { 0.0 }).collect();
        let a = hidden(&values);
        let found = with(&values, 3, 4, |p| diagonal(p, &Budget { rtol: 1e-9, max_matvecs: 60 }, true).unwrap());
        let whole = with(&values, 3, 4, |p| {
            let spectrum = dense(p, crate::Wanted::Sums).unwrap();
            diagonal_of(p, &spectrum.matrix, &spectrum.places).unwrap()
        });
        for i in 0..30 {
            assert!((found.diagonal.data[i] - a[i * 30 + i]).abs() < 1e-12);
            assert_eq!(whole.diagonal.data[i], a[i * 30 + i]);
            assert!((found.rows.data[i] - whole.rows.data[i]).abs() < 1e-12);
        }
        assert_eq!((found.trace.stop, whole.trace.stop), (StopReason::Tolerance, StopReason::Exact));
    }
}
