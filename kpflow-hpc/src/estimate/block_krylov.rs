//! Leading eigenpairs by randomised block Krylov iteration: block Lanczos with full reorthogonalisation and thick restart.

use super::nystrom::nystrom;
use super::qr::orthogonalise;
use super::small::eigen;
use super::trace::Sketch;
use super::{Budget, Eigenpairs, Problem, StopReason, Tall, SKETCHES};
use crate::engine::Real;

/// Computes the `count` largest eigenpairs of a symmetric positive semidefinite operator. Collective.
///
/// The basis begins with A's image of a Gaussian block and grows by one block product at a time; every new block is orthogonalised against
/// the whole basis twice (Golub and Underwood 1977; Musco and Musco 2015 for the random start). A basis that has grown too long is
/// replaced by its best Ritz vectors (thick restart: Wu and Simon 2000), which loses nothing of the Krylov recurrence.
/// A block as wide as `count` holds, with probability 1, every copy of a multiple eigenvalue that belongs among the largest; a narrower
/// one would miss copies, converge, and not know: K = G ⊗ I has every eigenvalue as often as a site has outputs.
/// **Cost**: one product a basis vector, max(block, count) of them a step, 4·n·(basis) flops beside it, and `count` products for the true
/// residuals at the end.
/// **Accuracy**: residuals are those of one more product with the vectors returned; an eigenvalue lies within λ_1 · residual of every value.
/// `rtol` bounds the residuals. Not converged is a result, with its reason; where products overflow there are no pairs at all.
pub fn block_krylov<T: Real>(problem: &Problem<'_, T>, budget: &Budget, count: usize) -> Eigenpairs<T> {
    let n = problem.len();
    let count = count.min(n);
    let mut state = Basis { problem, blocks: Vec::new(), h: Vec::new(), size: 0, drawn: 0 };
    let Sizes { width, longest } = sizes(count, problem.block, n);
    let mut history = Vec::new();
    let mut stop = StopReason::Budget;
    // A's image of a random block, rather than the block itself, makes a far better start for one block of products.
    let mut next = Tall::zeros(problem.shape(), 0);
    if budget.max_matvecs > width + count && width > 0 {
        let mut sketch = Sketch::new(problem, SKETCHES);
        sketch.extend(problem, width);
        state.drawn = width;
        let squares = problem.dots(&sketch.y, &sketch.y);
        let largest = squares.iter().fold(0.0, |m: f64, &s| m.max(s)).sqrt();
        if squares.iter().all(|s| s.is_finite()) {
            // What this block alone says of the spectrum; nothing is known of its residuals.
            if let Ok((values, _)) = nystrom(problem, &sketch, count) {
                history.push([problem.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]);
            }
            next = orthogonalise(problem, &[], sketch.y, largest, 0.0).q;
        }
    } else if width > 0 {
        if let Some(pairs) = few(problem, budget, count) {
            return pairs;
        }
        next = state.random(width, &[]);
        state.drawn = width;
    }
    let mut ritz = (Vec::new(), Vec::new());
    let mut residuals = Vec::new();
    let mut scale = 0.0;
    loop {
        let left = budget.max_matvecs.saturating_sub(problem.matvecs());
        // Products are kept back for the residuals of what is returned.
        let reserve = count.min(budget.max_matvecs / 2);
        if state.size > 0 && left < reserve + 1 || left == 0 {
            break;
        }
        let m = next.vectors.min(left.saturating_sub(reserve).max(1));
        if m < next.vectors {
            next = next.columns(0..m);
        }
        if next.vectors == 0 {
            if state.size >= count {
                stop = StopReason::Tolerance;
                break;
            }
            // An invariant subspace too small for what is asked: what is left is looked for from elsewhere.
            let blocks: Vec<&Tall<T>> = state.blocks.iter().collect();
            next = state.random(width.min(n - state.size), &blocks);
            state.drawn += width;
            if next.vectors == 0 {
                break;
            }
            continue;
        }
        let (rest, r) = state.expand(next, scale);
        if state.h.iter().any(|x| !x.is_finite()) {
            let (matvecs, vectors) = (problem.matvecs(), Tall::zeros(problem.shape(), 0));
            let (values, residuals, stop) = (Vec::new(), Vec::new(), StopReason::Overflow);
            return Eigenpairs { values, residuals, vectors, matvecs, stop, history };
        }
        ritz = eigen(&state.h, state.size);
        scale = ritz.0[0].abs();
        residuals = ritz_residuals(&ritz.1, state.size, &r, rest.vectors);
        let worst = residuals.iter().take(count).fold(0.0, |a: f64, &b| a.max(b)) / scale.max(f64::MIN_POSITIVE);
        history.push([problem.matvecs() as f64, ritz.0[0], worst]);
        (problem.progress)(problem.matvecs(), ritz.0[0], worst);
        // A tenth of the tolerance: the true residual, measured at the end, is to be within it.
        if state.size >= count && worst <= 0.1 * budget.rtol {
            stop = StopReason::Tolerance;
            break;
        }
        if state.size + rest.vectors > longest && state.size > count {
            let keep = (count + (state.size - count) / 2).min(2 * count + problem.block).min(state.size - 1);
            state.restart(&ritz, keep);
            ritz = (ritz.0[..keep].to_vec(), identity(keep));
        }
        next = rest;
    }
    if problem.matvecs() >= budget.max_matvecs && state.size > 0 {
        // Nothing is left to measure with: the recurrence knows the residuals as well, to rounding.
        let k = count.min(state.size);
        let (vectors, matvecs) = (state.combine(&ritz.1, k), problem.matvecs());
        let of = |r: &f64| if scale > 0.0 { r / scale } else { 0.0 };
        let residuals = residuals.iter().take(k).map(of).collect();
        let stop = StopReason::Budget;
        return Eigenpairs { values: ritz.0[..k].to_vec(), residuals, vectors, matvecs, stop, history };
    }
    finish(problem, budget, &state, &ritz, count, stop, history)
}

/// What can be had of fewer products than two blocks: the eigenpairs of a Nyström approximation, and residuals as far as products are left to measure
/// them. `None` for a single product, which as a Ritz pair comes with its residual, or where A is not positive semidefinite.
fn few<T: Real>(problem: &Problem<'_, T>, budget: &Budget, count: usize) -> Option<Eigenpairs<T>> {
    let measured = count.min(budget.max_matvecs / 2);
    let mut sketch = Sketch::new(problem, SKETCHES);
    if measured == 0 {
        return None;
    }
    sketch.extend(problem, (budget.max_matvecs - measured).min(problem.len()));
    if problem.dots(&sketch.y, &sketch.y).iter().any(|s| !s.is_finite()) {
        let vectors = Tall::zeros(problem.shape(), 0);
        let (matvecs, stop) = (problem.matvecs(), StopReason::Overflow);
        return Some(Eigenpairs {
            values: Vec::new(),
            residuals: Vec::new(),
            vectors,
            matvecs,
            stop,
            history: Vec::new(),
        });
    }
    let (values, vectors) = nystrom(problem, &sketch, count).ok()?;
    let history = vec![[problem.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]];
    let size = values.len();
    let one = orthogonalise(problem, &[], vectors.columns(0..size), 1.0, 0.5);
    let basis = Basis { problem, h: Vec::new(), size: one.q.vectors, blocks: vec![one.q], drawn: 0 };
    let ritz = (values, identity(basis.size));
    Some(finish(problem, budget, &basis, &ritz, count, StopReason::Budget, history))
}

struct Sizes {
    /// Vectors of a block.
    width: usize,
    /// Vectors of a basis, beyond which it is restarted.
    longest: usize,
}

fn sizes(count: usize, block: usize, n: usize) -> Sizes {
    let width = block.max(count).min(n);
    // Several steps between restarts: with one or two, what a polynomial of low degree cannot tell apart stalls.
    Sizes { width, longest: (4 * count + 6 * block).max(8 * width).min(n) }
}

/// The most vectors of length n that [`block_krylov`] holds at once, for estimates of memory: the basis, what replaces it at a restart, and
/// the block being orthogonalised with its copies.
pub fn block_krylov_vectors(count: usize, block: usize, n: usize) -> usize {
    let Sizes { width, longest } = sizes(count.min(n), block, n);
    longest + width + (2 * count.min(n) + block).min(n) + 3 * width
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect()
}

/// ‖R y‖ of every Ritz vector, y the part of it in the last block: A V − V Θ = Q_next R y.
fn ritz_residuals(vectors: &[f64], size: usize, r: &[f64], rest: usize) -> Vec<f64> {
    let m = r.len().checked_div(rest).unwrap_or(0);
    let norm = |y: &[f64]| {
        let part = |p: usize| -> f64 { r[p * m..][..m].iter().zip(y).map(|(a, b)| a * b).sum() };
        (0..rest).map(|p| part(p).powi(2)).sum::<f64>().sqrt()
    };
    vectors.chunks(size.max(1)).map(|v| norm(&v[size - m..])).collect()
}

struct Basis<'p, 'a, T> {
    problem: &'p Problem<'a, T>,
    blocks: Vec<Tall<T>>,
    /// Qᵀ A Q, row-major `[size, size]`.
    h: Vec<f64>,
    size: usize,
    /// Random vectors drawn so far.
    drawn: usize,
}

impl<T: Real> Basis<'_, '_, T> {
    fn random(&self, vectors: usize, beside: &[&Tall<T>]) -> Tall<T> {
        let omega = self.problem.draw(SKETCHES, self.drawn, vectors);
        let size = (self.problem.len() as f64).sqrt();
        orthogonalise(self.problem, beside, omega, size, 8.0 * T::epsilon().f64() * size).q
    }

    /// Takes `next` into the basis. Returns what A makes of it outside of the basis: Q_next and R.
    fn expand(&mut self, next: Tall<T>, scale: f64) -> (Tall<T>, Vec<f64>) {
        let w = self.problem.apply(&next);
        let m = next.vectors;
        let largest = self.problem.dots(&w, &w).into_iter().fold(0.0, f64::max).sqrt();
        self.blocks.push(next);
        let blocks: Vec<&Tall<T>> = self.blocks.iter().collect();
        // A remainder of the size of rounding is noise: taken for a direction it would never end.
        let floor = 8.0 * T::epsilon().f64() * largest.max(scale);
        let o = orthogonalise(self.problem, &blocks, w, largest, floor);
        let size = self.size + m;
        let mut h = vec![0.0; size * size];
        for i in 0..self.size {
            h[i * size..][..self.size].copy_from_slice(&self.h[i * self.size..][..self.size]);
        }
        for i in 0..size {
            for j in 0..m {
                h[i * size + self.size + j] = o.c[i * m + j];
                h[(self.size + j) * size + i] = o.c[i * m + j];
            }
        }
        (self.h, self.size) = (h, size);
        (o.q, o.r)
    }

    /// The vectors Σ_j y_ij q_j for the first `keep` rows y_i.
    fn combine(&self, y: &[f64], keep: usize) -> Tall<T> {
        let mut out = Tall::zeros(self.problem.shape(), keep);
        let mut at = 0;
        for block in &self.blocks {
            let m = block.vectors;
            let c: Vec<f64> = (0..m).flat_map(|j| (0..keep).map(move |i| y[i * self.size + at + j])).collect();
            out.add_product(1.0, block, &c, self.problem.engine);
            at += m;
        }
        out
    }

    fn restart(&mut self, (values, vectors): &(Vec<f64>, Vec<f64>), keep: usize) {
        self.blocks = vec![self.combine(vectors, keep)];
        self.h = identity(keep);
        (0..keep).for_each(|i| self.h[i * keep + i] = values[i]);
        self.size = keep;
    }
}

/// Rayleigh–Ritz once more on the vectors to be returned, with the products that measure their residuals.
fn finish<T: Real>(
    problem: &Problem<'_, T>,
    budget: &Budget,
    basis: &Basis<'_, '_, T>,
    (values, vectors): &(Vec<f64>, Vec<f64>),
    count: usize,
    stop: StopReason,
    history: Vec<[f64; 3]>,
) -> Eigenpairs<T> {
    let left = budget.max_matvecs.saturating_sub(problem.matvecs());
    let k = count.min(values.len()).min(left);
    let v = basis.combine(vectors, k);
    let av = problem.apply(&v);
    let (values, y) = eigen(&problem.gram(&v, &av), k);
    // Columns y_i: C[j, i] = y_i[j].
    let c: Vec<f64> = (0..k).flat_map(|j| (0..k).map(|i| y[i * k + j]).collect::<Vec<_>>()).collect();
    let v = v.product(&c, k, problem.engine);
    let mut difference = av.product(&c, k, problem.engine);
    let diagonal: Vec<f64> = (0..k * k).map(|i| if i / k == i % k { values[i / k] } else { 0.0 }).collect();
    difference.add_product(-1.0, &v, &diagonal, problem.engine);
    let scale = values.first().map_or(0.0, |x| x.abs());
    let residuals: Vec<f64> = problem
        .dots(&difference, &difference)
        .into_iter()
        .map(|s| if scale > 0.0 { s.sqrt() / scale } else { 0.0 })
        .collect();
    let good = k == count && residuals.iter().all(|&r| r <= budget.rtol);
    let stop = if good { StopReason::Tolerance } else { stop };
    let stop = if stop == StopReason::Tolerance && !good { StopReason::Budget } else { stop };
    Eigenpairs { values, residuals, vectors: v, matvecs: problem.matvecs(), stop, history }
}
