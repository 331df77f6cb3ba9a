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
/// replaced by its best Ritz vectors (thick restart: Wu and Simon 2000), which loses nothing of the Krylov recurrence. Those of them that are found to a
/// hundredth of what is asked are locked: later blocks stay orthogonal to them, and the Rayleigh–Ritz problem is without them (Lehoucq and Sorensen 1996).
/// A larger eigenvalue that shows up after that still comes first in what is returned.
/// A block as wide as `count` holds, with probability 1, every copy of a multiple eigenvalue that belongs among the largest; a narrower
/// one would miss copies, converge, and not know: K = G ⊗ I has every eigenvalue as often as a site has outputs.
/// **Cost**: one product a basis vector, max(block, count) of them a step, 4·n·(basis) flops beside it, and `count` products for the true
/// residuals at the end.
/// **Accuracy**: residuals are those of one more product with the vectors returned; an eigenvalue lies within λ_1 · residual of every value.
/// `rtol` bounds the residuals. Not converged is a result, with its reason; where products overflow there are no pairs at all.
pub fn block_krylov<T: Real>(problem: &Problem<'_, T>, budget: &Budget, count: usize) -> Eigenpairs<T> {
    let n = problem.len();
    let count = count.min(n);
    let mut state = Basis::new(problem, Vec::new());
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
            if let Ok((values, _)) = nystrom(problem, &mut sketch, count) {
                history.push([problem.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]);
            }
            next = orthogonalise(problem, &[], sketch.y, largest, 0.0).q;
        }
    } else if width > 0 {
        if let Some(pairs) = few(problem, budget, count) {
            return pairs;
        }
        next = state.random(width);
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
            next = next.columns(0..m, problem.engine);
        }
        if next.vectors == 0 {
            if state.found() >= count {
                stop = StopReason::Tolerance;
                break;
            }
            // An invariant subspace too small for what is asked: what is left is looked for from elsewhere.
            next = state.random(width.min(n - state.found()));
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
        residuals = ritz_residuals(&ritz.1, state.size, &r, rest.vectors);
        let best = state.best(&ritz.0, &residuals, count);
        scale = best[0].value.abs();
        let worst = best.iter().fold(0.0, |a: f64, one| a.max(one.residual)) / scale.max(f64::MIN_POSITIVE);
        history.push([problem.matvecs() as f64, best[0].value, worst]);
        (problem.progress)(problem.matvecs(), best[0].value, worst);
        // A tenth of the tolerance: the true residual, measured at the end, is to be within it.
        if state.found() >= count && worst <= 0.1 * budget.rtol {
            stop = StopReason::Tolerance;
            break;
        }
        if state.found() + rest.vectors > longest && state.size > count {
            let keep = (count + (state.size - count) / 2).min(2 * count + problem.block).min(state.size - 1);
            let good = |r: &&f64| **r <= 0.01 * budget.rtol * scale;
            let lock = residuals.iter().take((count - state.locked.vectors).min(keep - 1)).take_while(good).count();
            state.restart(&ritz, &residuals, lock, keep);
            ritz = (ritz.0[lock..keep].to_vec(), identity(keep - lock));
            residuals = residuals[lock..keep].to_vec();
        }
        next = rest;
    }
    let best = state.best(&ritz.0, &residuals, count);
    if problem.matvecs() >= budget.max_matvecs && state.size > 0 {
        // Nothing is left to measure with: the recurrence knows the residuals as well, to rounding.
        let (vectors, matvecs) = (state.combine(&ritz.1, &best), problem.matvecs());
        let of = |one: &Pair| if scale > 0.0 { one.residual / scale } else { 0.0 };
        let (values, residuals) = (best.iter().map(|one| one.value).collect(), best.iter().map(of).collect());
        return Eigenpairs { values, residuals, vectors, matvecs, stop: StopReason::Budget, history };
    }
    finish(budget, &state, &ritz.1, &best, count, stop, history)
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
    let (values, vectors) = nystrom(problem, &mut sketch, count).ok()?;
    let history = vec![[problem.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]];
    let one = orthogonalise(problem, &[], vectors, 1.0, 0.5);
    let basis = Basis::new(problem, vec![one.q]);
    let best = basis.best(&values[..basis.size], &[], count);
    Some(finish(budget, &basis, &identity(basis.size), &best, count, StopReason::Budget, history))
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

/// The most vectors of length n that [`block_krylov`] holds at once with so many products, for estimates of memory: the basis and, either, the
/// block being orthogonalised with its copy or, at a restart, what replaces the basis.
pub fn block_krylov_vectors(count: usize, block: usize, n: usize, products: usize) -> usize {
    let count = count.min(n);
    let Sizes { width, longest } = sizes(count, block, n);
    match products.saturating_sub(width + count) {
        basis if basis > longest => longest + width + width.max((2 * count + block).min(n)),
        basis => basis + 2 * width.max(2 * count),
    }
}

/// The vectors of a block, and of a basis beyond which it is restarted.
pub fn block_krylov_sizes(count: usize, block: usize, n: usize) -> (usize, usize) {
    let Sizes { width, longest } = sizes(count.min(n), block, n);
    (width, longest)
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
    /// Vectors that are found, out of the Rayleigh–Ritz problem, and what is known of them.
    locked: Tall<T>,
    locked_pairs: Vec<(f64, f64)>,
    blocks: Vec<Tall<T>>,
    /// Qᵀ A Q, row-major `[size, size]`.
    h: Vec<f64>,
    size: usize,
    /// Random vectors drawn so far.
    drawn: usize,
}

/// One of the best pairs so far.
struct Pair {
    value: f64,
    residual: f64,
    /// Its place among the locked vectors, or among the Ritz vectors.
    place: Place,
}

enum Place {
    Locked(usize),
    Ritz(usize),
}

impl<'p, 'a, T: Real> Basis<'p, 'a, T> {
    fn new(problem: &'p Problem<'a, T>, blocks: Vec<Tall<T>>) -> Self {
        let size = blocks.iter().map(|b| b.vectors).sum();
        let locked = Tall::zeros(problem.shape(), 0);
        Self { problem, locked, locked_pairs: Vec::new(), blocks, h: Vec::new(), size, drawn: 0 }
    }

    /// Vectors of the basis, locked ones too.
    fn found(&self) -> usize {
        self.size + self.locked.vectors
    }

    fn all(&self) -> Vec<&Tall<T>> {
        std::iter::once(&self.locked).chain(&self.blocks).collect()
    }

    /// The `count` largest of the locked and the Ritz values, largest first.
    fn best(&self, values: &[f64], residuals: &[f64], count: usize) -> Vec<Pair> {
        let locked = self.locked_pairs.iter().enumerate();
        let locked = locked.map(|(i, &(value, residual))| Pair { value, residual, place: Place::Locked(i) });
        let ritz = values.iter().enumerate().map(|(i, &value)| {
            let residual = residuals.get(i).copied().unwrap_or(f64::INFINITY);
            Pair { value, residual, place: Place::Ritz(i) }
        });
        let mut pairs: Vec<Pair> = locked.chain(ritz).collect();
        pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        pairs.truncate(count);
        pairs
    }

    fn random(&self, vectors: usize) -> Tall<T> {
        let omega = self.problem.draw(SKETCHES, self.drawn, vectors);
        let size = (self.problem.len() as f64).sqrt();
        orthogonalise(self.problem, &self.all(), omega, size, 8.0 * T::epsilon().f64() * size).q
    }

    /// Takes `next` into the basis. Returns what A makes of it outside of the basis: Q_next and R.
    fn expand(&mut self, next: Tall<T>, scale: f64) -> (Tall<T>, Vec<f64>) {
        let w = self.problem.apply(&next);
        let m = next.vectors;
        let largest = self.problem.dots(&w, &w).into_iter().fold(0.0, f64::max).sqrt();
        self.blocks.push(next);
        // A remainder of the size of rounding is noise: taken for a direction it would never end.
        let floor = 8.0 * T::epsilon().f64() * largest.max(scale);
        let o = orthogonalise(self.problem, &self.all(), w, largest, floor);
        let c = &o.c[self.locked.vectors * m..];
        let size = self.size + m;
        let mut h = vec![0.0; size * size];
        for i in 0..self.size {
            h[i * size..][..self.size].copy_from_slice(&self.h[i * self.size..][..self.size]);
        }
        for i in 0..size {
            for j in 0..m {
                h[i * size + self.size + j] = c[i * m + j];
                h[(self.size + j) * size + i] = c[i * m + j];
            }
        }
        (self.h, self.size) = (h, size);
        (o.q, o.r)
    }

    /// These pairs' vectors, Σ_j y_ij q_j for the i-th Ritz vector, whose row of `y` is i.
    fn combine(&self, y: &[f64], pairs: &[Pair]) -> Tall<T> {
        let (engine, mut out) = (self.problem.engine, None::<Tall<T>>);
        let mut add = |block: &Tall<T>, entry: &dyn Fn(&Place, usize) -> f64| {
            if block.vectors == 0 {
                return;
            }
            let c: Vec<f64> = (0..block.vectors).flat_map(|j| pairs.iter().map(move |p| entry(&p.place, j))).collect();
            match &mut out {
                Some(out) => out.add_product(1.0, block, &c, engine),
                None => out = Some(block.product(&c, pairs.len(), engine)),
            }
        };
        add(&self.locked, &|place, j| match *place {
            Place::Locked(i) => f64::from(u8::from(i == j)),
            Place::Ritz(_) => 0.0,
        });
        let mut at = 0;
        for block in &self.blocks {
            add(block, &|place, j| match *place {
                Place::Locked(_) => 0.0,
                Place::Ritz(i) => y[i * self.size + at + j],
            });
            at += block.vectors;
        }
        out.unwrap_or_else(|| Tall::zeros(self.problem.shape(), pairs.len()))
    }

    /// Makes the first `keep` Ritz vectors the basis, the first `lock` of them locked.
    fn restart(&mut self, (values, y): &(Vec<f64>, Vec<f64>), residuals: &[f64], lock: usize, keep: usize) {
        let pair = |i: usize| Pair { value: values[i], residual: residuals[i], place: Place::Ritz(i) };
        let pairs: Vec<Pair> = (0..keep).map(pair).collect();
        let locked = self.combine(y, &pairs[..lock]);
        self.locked.append(locked, self.problem.engine);
        self.locked_pairs.extend(pairs[..lock].iter().map(|p| (p.value, p.residual)));
        self.blocks = vec![self.combine(y, &pairs[lock..])];
        self.size = keep - lock;
        self.h = identity(self.size);
        (0..self.size).for_each(|i| self.h[i * self.size + i] = values[lock + i]);
    }
}

/// Rayleigh–Ritz once more on the vectors to be returned, with the products that measure their residuals.
fn finish<T: Real>(
    budget: &Budget,
    basis: &Basis<'_, '_, T>,
    vectors: &[f64],
    best: &[Pair],
    count: usize,
    stop: StopReason,
    history: Vec<[f64; 3]>,
) -> Eigenpairs<T> {
    let problem = basis.problem;
    let k = best.len().min(budget.max_matvecs.saturating_sub(problem.matvecs()));
    let v = basis.combine(vectors, &best[..k]);
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
