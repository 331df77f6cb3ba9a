//! Leading eigenpairs by randomised block Krylov iteration: block Lanczos with full reorthogonalisation and thick restart.

use crate::error::unless_stopped;
use crate::nystrom::nystrom;
use crate::qr::orthogonalise;
use crate::small::{eigen, identity};
use crate::space::{Block, Budget, Small, Space, SKETCHES};
use crate::trace::Sketch;
use crate::{Eigenpairs, Result, StopReason};

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
pub fn block_krylov<S: Space>(space: &S, budget: &Budget, count: usize) -> Result<Eigenpairs<S::Block>> {
    let n = space.len();
    let count = count.min(n);
    let mut state = Basis::new(space, Vec::new());
    let Sizes { width, longest } = sizes(count, space.block(), n);
    let mut history = Vec::new();
    let mut stop = StopReason::Budget;
    // A's image of a random block, rather than the block itself, makes a far better start for one block of products.
    let mut next = space.zeros(0);
    if budget.max_matvecs > width + count && width > 0 {
        let mut sketch = Sketch::new(space, SKETCHES);
        sketch.extend(space, width)?;
        state.drawn = width;
        let squares = space.dots(&sketch.y, &sketch.y)?;
        let largest = squares.iter().fold(0.0, |m: f64, &s| m.max(s)).sqrt();
        if squares.iter().all(|s| s.is_finite()) {
            // What this block alone says of the spectrum; nothing is known of its residuals.
            if let Some((values, _)) = unless_stopped(nystrom(space, &mut sketch, count))? {
                history.push([space.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]);
            }
            next = orthogonalise(space, &[], sketch.y, largest, 0.0)?.q;
            // An operator of a rank below the block's width is done with soon.
            space.may_stop(budget, false);
        }
    } else if width > 0 {
        if let Some(pairs) = few(space, budget, count)? {
            return Ok(pairs);
        }
        next = state.random(width)?;
        state.drawn = width;
    }
    let mut ritz = (Vec::new(), Vec::new());
    let mut residuals = Vec::new();
    let mut scale = 0.0;
    loop {
        let left = budget.max_matvecs.saturating_sub(space.matvecs());
        // Products are kept back for the residuals of what is returned.
        let reserve = count.min(budget.max_matvecs / 2);
        if state.size > 0 && left < reserve + 1 || left == 0 {
            break;
        }
        let m = next.vectors().min(left.saturating_sub(reserve).max(1));
        if m < next.vectors() {
            next = space.columns(&next, 0..m);
        }
        if next.vectors() == 0 {
            if state.found() >= count {
                stop = StopReason::Tolerance;
                break;
            }
            // An invariant subspace too small for what is asked: what is left is looked for from elsewhere.
            next = state.random(width.min(n - state.found()))?;
            state.drawn += width;
            if next.vectors() == 0 {
                break;
            }
            continue;
        }
        let (rest, r) = state.expand(next, scale)?;
        if state.h.iter().any(|x| !x.is_finite()) {
            let (values, residuals, stop) = (Vec::new(), Vec::new(), StopReason::Overflow);
            let (vectors, matvecs) = (space.zeros(0), space.matvecs());
            return Ok(Eigenpairs { values, residuals, vectors, matvecs, stop, history });
        }
        let size = state.size;
        (ritz, residuals) = space.small(Small::of(size, 10.0, 4), |_| {
            let ritz = eigen(&state.h, size);
            let residuals = ritz_residuals(&ritz.1, size, &r, rest.vectors());
            Ok((ritz, residuals))
        })?;
        let best = state.best(&ritz.0, &residuals, count);
        scale = best[0].value.abs();
        let worst = best.iter().fold(0.0, |a: f64, one| a.max(one.residual)) / scale.max(f64::MIN_POSITIVE);
        history.push([space.matvecs() as f64, best[0].value, worst]);
        space.tell(best[0].value, worst);
        // A tenth of the tolerance: the true residual, measured at the end, is to be within it.
        if state.found() >= count && space.may_stop(budget, worst <= 0.1 * budget.rtol) {
            stop = StopReason::Tolerance;
            break;
        }
        if state.found() + rest.vectors() > longest && state.size > count {
            let keep = (count + (state.size - count) / 2).min(2 * count + space.block()).min(state.size - 1);
            let good = |r: &&f64| **r <= 0.01 * budget.rtol * scale;
            let most = (count - state.locked.vectors()).min(keep - 1);
            let lock = residuals.iter().take(most).take_while(good).count();
            state.restart(&ritz, &residuals, lock, keep)?;
            ritz = (ritz.0.get(lock..keep).unwrap_or_default().to_vec(), state.identity()?);
            residuals = residuals.get(lock..keep).unwrap_or_default().to_vec();
        }
        next = rest;
    }
    let best = state.best(&ritz.0, &residuals, count);
    if space.matvecs() >= budget.max_matvecs && state.size > 0 {
        // Nothing is left to measure with: the recurrence knows the residuals as well, to rounding.
        let (vectors, matvecs) = (state.combine(&ritz.1, &best)?, space.matvecs());
        let of = |one: &Pair| if scale > 0.0 { one.residual / scale } else { 0.0 };
        let (values, residuals) = (best.iter().map(|one| one.value).collect(), best.iter().map(of).collect());
        return Ok(Eigenpairs { values, residuals, vectors, matvecs, stop: StopReason::Budget, history });
    }
    finish(budget, &state, &ritz.1, &best, count, stop, history)
}

/// What can be had of fewer products than two blocks: the eigenpairs of a Nyström approximation, and residuals as far as products are left to measure
/// them. `None` for a single product, which as a Ritz pair comes with its residual, or where A is not positive semidefinite.
fn few<S: Space>(space: &S, budget: &Budget, count: usize) -> Result<Option<Eigenpairs<S::Block>>> {
    let measured = count.min(budget.max_matvecs / 2);
    let mut sketch = Sketch::new(space, SKETCHES);
    if measured == 0 {
        return Ok(None);
    }
    sketch.extend(space, (budget.max_matvecs - measured).min(space.len()))?;
    if space.dots(&sketch.y, &sketch.y)?.iter().any(|s| !s.is_finite()) {
        return Ok(Some(Eigenpairs {
            values: Vec::new(),
            residuals: Vec::new(),
            vectors: space.zeros(0),
            matvecs: space.matvecs(),
            stop: StopReason::Overflow,
            history: Vec::new(),
        }));
    }
    let Some((values, vectors)) = unless_stopped(nystrom(space, &mut sketch, count))? else { return Ok(None) };
    let history = vec![[space.matvecs() as f64, values.first().copied().unwrap_or(0.0), f64::INFINITY]];
    let one = orthogonalise(space, &[], vectors, 1.0, 0.5)?;
    let basis = Basis::new(space, vec![one.q]);
    let best = basis.best(&values, &[], count);
    finish(budget, &basis, &basis.identity()?, &best, count, StopReason::Budget, history).map(Some)
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

/// ‖R y‖ of every Ritz vector, y the part of it in the last block: A V − V Θ = Q_next R y.
fn ritz_residuals(vectors: &[f64], size: usize, r: &[f64], rest: usize) -> Vec<f64> {
    let m = r.len().checked_div(rest).unwrap_or(0);
    let norm = |y: &[f64]| {
        let part = |p: usize| -> f64 { r[p * m..][..m].iter().zip(y).map(|(a, b)| a * b).sum() };
        (0..rest).map(|p| part(p).powi(2)).sum::<f64>().sqrt()
    };
    vectors.chunks(size.max(1)).map(|v| norm(&v[size - m..])).collect()
}

struct Basis<'p, S: Space> {
    space: &'p S,
    /// Vectors that are found, out of the Rayleigh–Ritz problem, and what is known of them.
    locked: S::Block,
    locked_pairs: Vec<(f64, f64)>,
    blocks: Vec<S::Block>,
    /// Qᵀ A Q, row-major `[size, size]`.
    h: Vec<f64>,
    size: usize,
    /// Random vectors drawn so far.
    drawn: usize,
    held: Option<S::Held>,
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

impl<'p, S: Space> Basis<'p, S> {
    fn new(space: &'p S, blocks: Vec<S::Block>) -> Self {
        let size = blocks.iter().map(|b| b.vectors()).sum();
        Self {
            space,
            locked: space.zeros(0),
            locked_pairs: Vec::new(),
            blocks,
            h: Vec::new(),
            size,
            drawn: 0,
            held: None,
        }
    }

    /// Vectors of the basis, locked ones too.
    fn found(&self) -> usize {
        self.size + self.locked.vectors()
    }

    fn all(&self) -> Vec<&S::Block> {
        std::iter::once(&self.locked).chain(&self.blocks).collect()
    }

    fn identity(&self) -> Result<Vec<f64>> {
        self.space.small(Small::of(self.size, 0.0, 1), |_| Ok(identity(self.size)))
    }

    /// The `count` largest of the locked and the Ritz values, largest first.
    fn best(&self, values: &[f64], residuals: &[f64], count: usize) -> Vec<Pair> {
        let locked = self.locked_pairs.iter().enumerate();
        let locked = locked.map(|(i, &(value, residual))| Pair { value, residual, place: Place::Locked(i) });
        let ritz = (0..self.size).map(|i| {
            let value = values.get(i).copied().unwrap_or(0.0);
            let residual = residuals.get(i).copied().unwrap_or(f64::INFINITY);
            Pair { value, residual, place: Place::Ritz(i) }
        });
        let mut pairs: Vec<Pair> = locked.chain(ritz).collect();
        pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        pairs.truncate(count);
        pairs
    }

    fn random(&self, vectors: usize) -> Result<S::Block> {
        let omega = self.space.draw(SKETCHES, self.drawn, vectors);
        let size = (self.space.len() as f64).sqrt();
        let found = orthogonalise(self.space, &self.all(), omega, size, 8.0 * self.space.epsilon() * size)?;
        Ok(found.q)
    }

    /// Takes `next` into the basis. Returns what A makes of it outside of the basis: Q_next and R.
    fn expand(&mut self, next: S::Block, scale: f64) -> Result<(S::Block, Vec<f64>)> {
        let space = self.space;
        let w = space.apply(&next)?;
        let m = next.vectors();
        let largest = space.dots(&w, &w)?.into_iter().fold(0.0, f64::max).sqrt();
        self.blocks.push(next);
        // A remainder of the size of rounding is noise: taken for a direction it would never end.
        let floor = 8.0 * space.epsilon() * largest.max(scale);
        let o = orthogonalise(space, &self.all(), w, largest, floor)?;
        let (before, size) = (self.size, self.size + m);
        self.h = space.small(Small::of(size, 0.0, 2), |_| {
            let c = &o.c[self.locked.vectors() * m..];
            let mut h = vec![0.0; size * size];
            for i in 0..before {
                h[i * size..][..before].copy_from_slice(&self.h[i * before..][..before]);
            }
            for i in 0..size {
                for j in 0..m {
                    h[i * size + before + j] = c[i * m + j];
                    h[(before + j) * size + i] = c[i * m + j];
                }
            }
            Ok(h)
        })?;
        self.size = size;
        // H, and the Ritz vectors that are made of it.
        self.held = Some(space.hold(2 * size * size));
        Ok((o.q, o.r))
    }

    /// These pairs' vectors, Σ_j y_ij q_j for the i-th Ritz vector, whose row of `y` is i.
    fn combine(&self, y: &[f64], pairs: &[Pair]) -> Result<S::Block> {
        let (space, mut out) = (self.space, None::<S::Block>);
        let mut add = |block: &S::Block, entry: &dyn Fn(&Place, usize) -> f64| -> Result<()> {
            let m = block.vectors();
            if m == 0 {
                return Ok(());
            }
            let c: Vec<f64> = space.small(Small { flops: 0.0, numbers: m * pairs.len() }, |_| {
                Ok((0..m).flat_map(|j| pairs.iter().map(move |p| entry(&p.place, j))).collect())
            })?;
            match &mut out {
                Some(out) => space.add_product(out, 1.0, block, &c),
                None => out = Some(space.product(block, &c, pairs.len())),
            }
            Ok(())
        };
        add(&self.locked, &|place, j| match *place {
            Place::Locked(i) => f64::from(u8::from(i == j)),
            Place::Ritz(_) => 0.0,
        })?;
        let mut at = 0;
        for block in &self.blocks {
            add(block, &|place, j| match *place {
                Place::Locked(_) => 0.0,
                Place::Ritz(i) => y[i * self.size + at + j],
            })?;
            at += block.vectors();
        }
        Ok(out.unwrap_or_else(|| space.zeros(pairs.len())))
    }

    /// Makes the first `keep` Ritz vectors the basis, the first `lock` of them locked.
    fn restart(
        &mut self,
        (values, y): &(Vec<f64>, Vec<f64>),
        residuals: &[f64],
        lock: usize,
        keep: usize,
    ) -> Result<()> {
        let of = |all: &[f64], i: usize| all.get(i).copied().unwrap_or(0.0);
        let pair = |i: usize| Pair { value: of(values, i), residual: of(residuals, i), place: Place::Ritz(i) };
        let pairs: Vec<Pair> = (0..keep).map(pair).collect();
        let locked = self.combine(y, &pairs[..lock])?;
        self.space.append(&mut self.locked, locked);
        self.locked_pairs.extend(pairs[..lock].iter().map(|p| (p.value, p.residual)));
        self.blocks = vec![self.combine(y, &pairs[lock..])?];
        self.size = keep - lock;
        self.h = self.identity()?;
        let size = self.size;
        self.h.iter_mut().step_by(size + 1).zip(values.iter().skip(lock)).for_each(|(h, value)| *h = *value);
        Ok(())
    }
}

/// Rayleigh–Ritz once more on the vectors to be returned, with the products that measure their residuals.
fn finish<S: Space>(
    budget: &Budget,
    basis: &Basis<'_, S>,
    vectors: &[f64],
    best: &[Pair],
    count: usize,
    stop: StopReason,
    history: Vec<[f64; 3]>,
) -> Result<Eigenpairs<S::Block>> {
    let space = basis.space;
    let k = best.len().min(budget.max_matvecs.saturating_sub(space.matvecs()));
    let v = basis.combine(vectors, &best[..k])?;
    let av = space.apply(&v)?;
    let gram = space.gram(&v, &av)?;
    let (values, c, diagonal) = space.small(Small::of(k, 10.0, 5), |_| {
        let (values, y) = eigen(&gram, k);
        // Columns y_i: C[j, i] = y_i[j].
        let c: Vec<f64> = (0..k).flat_map(|j| (0..k).map(|i| y[i * k + j]).collect::<Vec<_>>()).collect();
        let diagonal: Vec<f64> = (0..k * k).map(|i| if i / k == i % k { values[i / k] } else { 0.0 }).collect();
        Ok((values, c, diagonal))
    })?;
    let v = space.product(&v, &c, k);
    let mut difference = space.product(&av, &c, k);
    space.add_product(&mut difference, -1.0, &v, &diagonal);
    let scale = values.first().map_or(0.0, |x| x.abs());
    let squares = space.dots(&difference, &difference)?;
    let residuals: Vec<f64> = squares.into_iter().map(|s| if scale > 0.0 { s.sqrt() / scale } else { 0.0 }).collect();
    // As many as there are vectors, where numbers do not say.
    let values = if values.is_empty() { vec![0.0; space.unknown(k)] } else { values };
    let good = k == count && residuals.iter().all(|&r| r <= budget.rtol);
    let stop = if good { StopReason::Tolerance } else { stop };
    let stop = if stop == StopReason::Tolerance && !good { StopReason::Budget } else { stop };
    Ok(Eigenpairs { values, residuals, vectors: v, matvecs: space.matvecs(), stop, history })
}
