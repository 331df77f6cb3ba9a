//! What inference alone tells of the Kronecker core, summed position after position in fixed memory.

use crate::dense::{rank, symmetric_eigen, symmetric_eigenvalues};
use crate::error::{enough, length};
use crate::{Error, Scalar};

/// The sizes of a weight site of a unit-wise cell, for [`CoreSums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSize {
    /// Numbers of the site's input u.
    pub inputs: usize,
    /// Whether a 1 is appended to u, for a bias.
    pub bias: bool,
    /// H, the units of a gate and of a state variable.
    pub hidden: usize,
    /// Gates that the site writes: n_out = gates·H.
    pub gates: usize,
    /// State variables of a unit: N = states·H. 1, or 2 of an LSTM.
    pub states: usize,
    /// Whether error signals at the site's outputs are summed too.
    pub errors: bool,
}

/// Numbers before the sums: positions, and the error signals' squares.
const HEAD: usize = 2;

impl CoreSize {
    /// n, the numbers of u with its 1.
    pub const fn columns(&self) -> usize {
        self.inputs.saturating_add(self.bias as usize)
    }

    /// n_out.
    pub const fn outputs(&self) -> usize {
        self.gates.saturating_mul(self.hidden)
    }

    const fn triangle(&self) -> usize {
        self.columns().saturating_mul(self.columns().saturating_add(1)) / 2
    }

    const fn pairs(&self) -> usize {
        self.states.saturating_mul(self.states).saturating_mul(self.hidden)
    }

    /// Doubles of memory that a site's sums take, however many positions there are: n(n+1)/2 + states²·H + 2, and n·n_out more with error signals.
    ///
    /// ```
    /// use kpflow_core::ntk::CoreSize;
    /// // The recurrent weights of a 32-unit GRU's r and z on a microcontroller: 5 KB.
    /// const SITE: CoreSize = CoreSize { inputs: 32, bias: true, hidden: 32, gates: 2, states: 1, errors: false };
    /// static MEMORY: [f64; SITE.memory_len()] = [0.0; SITE.memory_len()];
    /// assert_eq!(MEMORY.len() * 8, 4760);
    /// ```
    pub const fn memory_len(&self) -> usize {
        let cross = if self.errors { self.columns().saturating_mul(self.outputs()) } else { 0 };
        HEAD.saturating_add(self.triangle()).saturating_add(self.pairs()).saturating_add(cross)
    }
}

/// One diagonal of D: the derivatives of a state variable by a gate of the site, unit by unit.
#[derive(Clone, Copy, Debug)]
pub struct Diagonal<'a, T> {
    /// Which gate of the site.
    pub gate: usize,
    /// Which state variable: 0, or of an LSTM 0 for h and 1 for c.
    pub state: usize,
    /// H derivatives.
    pub values: &'a [T],
}

/// Sums of one weight site over positions (u, D, δ), as inference passes them: what is known of K = D (G ⊗ I) Dᵀ, G = U Uᵀ, from inference alone.
///
/// Held are `Σ u uᵀ`, `Σ ‖u‖² D Dᵀ` (its diagonals), and with error signals δ at the site's outputs `Σ u δᵀ` (the weights' gradient) and `Σ ‖δ‖²`.
/// So in fixed memory, and exactly: tr K, the marginal of K over units, tr G, ‖G‖_F, rank and eigenvalues of G (those of UᵀU, which is smaller), its leading modes as patterns of
/// input, and the share of the error signal in them. **Not** in fixed memory: ‖K‖_F, and the marginals over trajectories and steps, which need every pair of
/// positions ([`Features`](super::Features) has them); [`core_numbers`] bounds ‖K‖_F from both sides. **Accuracy**: all sums are of doubles, whatever T is.
///
/// ```
/// use kpflow_core::ntk::{CoreSize, CoreSums, Diagonal};
/// const SIZE: CoreSize = CoreSize { inputs: 2, bias: false, hidden: 1, gates: 1, states: 1, errors: false };
/// let mut memory = [0.0; SIZE.memory_len()];
/// let mut sums = CoreSums::new(SIZE, &mut memory)?;
/// for (u, d) in [([3.0f32, 4.0], [0.5]), ([0.0, 1.0], [2.0])] {
///     sums.add(&u, [Diagonal { gate: 0, state: 0, values: &d }].into_iter(), &[])?;
/// }
/// assert_eq!(sums.trace(), 25.0 * 0.25 + 1.0 * 4.0);
/// assert_eq!(sums.gram_trace(), 26.0);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Debug)]
pub struct CoreSums<'m> {
    size: CoreSize,
    memory: &'m mut [f64],
}

impl<'m> CoreSums<'m> {
    /// Starts sums in `memory`, which is set to zero.
    ///
    /// **Errors**: [`Error::Length`] unless it is as long as [`CoreSize::memory_len`] tells.
    pub fn new(size: CoreSize, memory: &'m mut [f64]) -> Result<Self, Error> {
        length(size.memory_len(), memory.len())?;
        memory.fill(0.0);
        Ok(Self { size, memory })
    }

    /// The sizes.
    pub fn size(&self) -> CoreSize {
        self.size
    }

    /// All sums: those of other trajectories or processes are added number by number.
    pub fn numbers(&mut self) -> &mut [f64] {
        self.memory
    }

    /// Adds the sums of other positions.
    ///
    /// **Errors**: [`Error::Length`] if they are of another size.
    pub fn merge(&mut self, other: &CoreSums<'_>) -> Result<(), Error> {
        length(self.memory.len(), other.memory.len())?;
        self.memory.iter_mut().zip(&*other.memory).for_each(|(a, b)| *a += b);
        Ok(())
    }

    /// Adds one position: the site's input u, the diagonals of D there, and the error signal δ at the site's outputs.
    ///
    /// δ = Dᵀ Pᵀ ∂L/∂z is what back-propagation carries at the site; the sums accept any other signal as well. **Shapes**: `u` `[inputs]`, without its 1;
    /// `error` `[gates·H]`, or empty if errors are not summed. **Cost**: n² + 2·states·n_out flops, 2·n·n_out more with errors. **Errors**:
    /// [`Error::Length`], [`Error::Range`] if a gate or a state variable is not one of the site's; then nothing has been added.
    pub fn add<'d, T: Scalar>(
        &mut self,
        u: &[T],
        jacobian: impl Iterator<Item = Diagonal<'d, T>> + Clone,
        error: &[T],
    ) -> Result<(), Error> {
        let size = self.size;
        length(size.inputs, u.len())?;
        length(if size.errors { size.outputs() } else { 0 }, error.len())?;
        for d in jacobian.clone() {
            length(size.hidden, d.values.len())?;
            for (limit, found) in [(size.gates, d.gate), (size.states, d.state)] {
                if found >= limit {
                    return Err(Error::Range { limit, found });
                }
            }
        }
        let column = |i: usize| u.get(i).map_or(1.0, |x| x.f64());
        let n = size.columns();
        let square: f64 = (0..n).map(|i| column(i) * column(i)).sum();
        let (head, rest) = self.memory.split_at_mut(HEAD);
        let (gram, rest) = rest.split_at_mut(size.triangle());
        let (pairs, cross) = rest.split_at_mut(size.pairs());
        head[0] += 1.0;
        head[1] += error.iter().map(|x| x.f64() * x.f64()).sum::<f64>();
        let mut at = 0;
        for i in 0..n {
            let x = column(i);
            gram[at..=at + i].iter_mut().enumerate().for_each(|(j, g)| *g += x * column(j));
            at += i + 1;
        }
        for a in jacobian.clone() {
            for b in jacobian.clone().filter(|b| b.gate == a.gate) {
                let sums = &mut pairs[(a.state * size.states + b.state) * size.hidden..][..size.hidden];
                for ((s, x), y) in sums.iter_mut().zip(a.values).zip(b.values) {
                    *s += square * x.f64() * y.f64();
                }
            }
        }
        for (i, row) in cross.chunks_exact_mut(size.outputs().max(1)).enumerate() {
            row.iter_mut().zip(error).for_each(|(c, e)| *c += column(i) * e.f64());
        }
        Ok(())
    }

    /// How many positions have been added.
    pub fn positions(&self) -> usize {
        self.memory[0] as usize
    }

    fn gram(&self) -> &[f64] {
        &self.memory[HEAD..][..self.size.triangle()]
    }

    /// The diagonals of state variables a and b: Σ_p ‖u_p‖² Σ_gates D_a D_b, unit by unit.
    fn pair(&self, a: usize, b: usize) -> &[f64] {
        let start = HEAD + self.size.triangle() + (a * self.size.states + b) * self.size.hidden;
        &self.memory[start..start + self.size.hidden]
    }

    /// tr K, this site's part: `Σ_p ‖u_p‖² ‖D_p‖_F²`. Exact.
    pub fn trace(&self) -> f64 {
        (0..self.size.states).map(|a| self.pair(a, a).iter().sum::<f64>()).sum()
    }

    /// tr G = `Σ_p ‖u_p‖²`. Exact.
    pub fn gram_trace(&self) -> f64 {
        (0..self.size.columns()).map(|i| self.gram()[i * (i + 3) / 2]).sum()
    }

    /// ‖G‖_F, which is that of UᵀU. Exact.
    pub fn gram_frobenius(&self) -> f64 {
        let (mut sum, mut at) = (0.0, 0);
        for i in 0..self.size.columns() {
            let row = &self.gram()[at..=at + i];
            sum += 2.0 * row[..i].iter().map(|x| x * x).sum::<f64>() + row[i] * row[i];
            at += i + 1;
        }
        libm::sqrt(sum)
    }

    /// Adds this site's part of the marginal of K over units, `M[j, j'] = Σ_p K[(p, j), (p, j')]`. Exact.
    ///
    /// **Shapes**: `out` `[N, N]`, N = states·H; only entries of the same unit of state variables are not zero. **Errors**: [`Error::Length`].
    pub fn add_unit_marginal(&self, out: &mut [f64]) -> Result<(), Error> {
        let (states, hidden) = (self.size.states, self.size.hidden);
        let n = states * hidden;
        length(n * n, out.len())?;
        for (a, b) in (0..states).flat_map(|a| (0..states).map(move |b| (a, b))) {
            for (i, x) in self.pair(a, b).iter().enumerate() {
                out[(a * hidden + i) * n + b * hidden + i] += x;
            }
        }
        Ok(())
    }

    /// Computes the eigenvalues of G that are not zero, and the modes as patterns of input: the eigenpairs of `UᵀU = Σ u uᵀ`.
    ///
    /// The mode of G itself, over positions, is v_i = U w_i/√λ_i ([`Features::modes`](super::Features::modes) has them). Gradient descent learns along
    /// them in this order: the self-referential bias.
    /// **Shapes**: `values` `[n]`, largest first; `patterns` `[n, n]`, w_i in row i; `scratch` n². **Cost**: a [symmetric eigenproblem](crate::dense::symmetric_eigen).
    /// **Errors**: a buffer of another length; sums that are not finite.
    pub fn modes(&self, values: &mut [f64], patterns: &mut [f64], scratch: &mut [f64]) -> Result<(), Error> {
        symmetric_eigen(self.size.columns(), self.square(scratch)?, values, patterns)
    }

    /// Computes the eigenvalues of G that are not zero, without the modes.
    ///
    /// **Shapes**: `values` `[n]`, largest first; `scratch` n². **Cost**, **errors**: as [`modes`](Self::modes).
    pub fn eigenvalues(&self, values: &mut [f64], scratch: &mut [f64]) -> Result<(), Error> {
        symmetric_eigenvalues(self.size.columns(), self.square(scratch)?, values)
    }

    /// UᵀU, written to the front of the scratch.
    fn square<'s>(&self, scratch: &'s mut [f64]) -> Result<&'s mut [f64], Error> {
        let n = self.size.columns();
        enough(n * n, scratch.len())?;
        let matrix = &mut scratch[..n * n];
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                (matrix[i * n + j], matrix[j * n + i]) = (self.gram()[at + j], self.gram()[at + j]);
            }
            at += i + 1;
        }
        Ok(matrix)
    }

    /// rank G from the eigenvalues that [`modes`](Self::modes) or [`eigenvalues`](Self::eigenvalues) found: those beyond max(n, positions)·ε·λ_1.
    ///
    /// **Accuracy**: of sums of squares a direction is seen down to √ε, some 1e-8, of the largest; what is weaker does not count.
    pub fn rank(&self, values: &[f64]) -> usize {
        rank(values, self.tolerance())
    }

    fn tolerance(&self) -> f64 {
        self.size.columns().max(self.positions()) as f64 * f64::EPSILON
    }

    /// The share of the error signal's energy in the first `count` modes of G: `Σ_i ‖v_iᵀ E‖² / ‖E‖_F²`, E a row of δ a position.
    ///
    /// From `v_iᵀ E = w_iᵀ (Σ u δᵀ) / √λ_i`, with the eigenpairs that [`modes`](Self::modes) found; what lies in none of the modes cannot be learned at once by
    /// this site. **Accuracy**: ε·λ_1/λ_i for mode i. **Errors**: [`Error::Length`]; [`Error::Range`] if errors are not summed, or there are fewer modes.
    pub fn error_share(&self, values: &[f64], patterns: &[f64], count: usize) -> Result<f64, Error> {
        let (n, outputs) = (self.size.columns(), self.size.outputs());
        length(n, values.len())?;
        length(n * n, patterns.len())?;
        let limit = if self.size.errors { n } else { 0 };
        if count > limit {
            return Err(Error::Range { limit, found: count });
        }
        let cross = &self.memory[HEAD + self.size.triangle() + self.size.pairs()..];
        let floor = self.tolerance() * values.first().copied().unwrap_or(0.0);
        let mut sum = 0.0;
        for (value, w) in values.iter().zip(patterns.chunks_exact(n.max(1))).take(count).filter(|(v, _)| **v > floor) {
            for o in 0..outputs {
                let along: f64 = w.iter().enumerate().map(|(i, w)| w * cross[i * outputs + o]).sum();
                sum += along * along / value;
            }
        }
        Ok(if self.memory[1] > 0.0 { sum / self.memory[1] } else { 0.0 })
    }
}

/// What the sums of all sites of a cell say together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoreNumbers {
    /// tr K. Exact.
    pub trace: f64,
    /// Bounds of ‖K‖_F: it lies between them.
    pub frobenius: (f64, f64),
    /// Σ_sites n_out · rank G: the rank of NTK is not larger.
    pub rank_bound: usize,
    /// tr of the Kronecker core ⊕_sites G ⊗ I. Exact.
    pub core_trace: f64,
    /// ‖⊕_sites G ⊗ I‖_F. Exact.
    pub core_frobenius: f64,
    /// The core's effective rank as the participation ratio tr²/‖·‖_F². Exact; 0 for a core of zeros.
    pub core_effective_rank: f64,
}

/// Numbers of scratch that [`core_numbers`] needs: n² + n of the widest site.
pub fn core_numbers_scratch_len(sites: &[CoreSums<'_>]) -> usize {
    sites.iter().map(|s| s.size.columns() * (s.size.columns() + 1)).max().unwrap_or(0)
}

/// Computes what the sums of all sites of a cell say together.
///
/// K is block diagonal in the hidden unit, ⊕_j K_j, with K_j of rank ≤ Σ_sites gates·rank G and of a trace that is known, so
/// `Σ_j (tr K_j)²/rank ≤ ‖K‖_F² ≤ Σ_j (tr K_j)²`; the sum itself cannot be had in this memory. **Cost**: a symmetric eigenproblem a site.
/// **Errors**: [`Error::Scratch`]; [`Error::Length`] if the sites are not of one cell; sums that are not finite.
pub fn core_numbers(sites: &[CoreSums<'_>], scratch: &mut [f64]) -> Result<CoreNumbers, Error> {
    enough(core_numbers_scratch_len(sites), scratch.len())?;
    let Some(first) = sites.first().map(|s| s.size) else {
        let frobenius = (0.0, 0.0);
        return Ok(CoreNumbers {
            trace: 0.0,
            frobenius,
            rank_bound: 0,
            core_trace: 0.0,
            core_frobenius: 0.0,
            core_effective_rank: 0.0,
        });
    };
    let (mut rank_bound, mut unit_rank, mut core_trace, mut core_square) = (0, 0, 0.0, 0.0);
    for site in sites {
        length(first.hidden, site.size.hidden)?;
        length(first.states, site.size.states)?;
        length(sites[0].positions(), site.positions())?;
        let n = site.size.columns();
        let (values, rest) = scratch.split_at_mut(n);
        site.eigenvalues(values, rest)?;
        let rank = site.rank(values);
        rank_bound += site.size.outputs() * rank;
        unit_rank += site.size.gates * rank;
        core_trace += site.size.outputs() as f64 * site.gram_trace();
        core_square += site.size.outputs() as f64 * site.gram_frobenius() * site.gram_frobenius();
    }
    let unit =
        |j: usize| -> f64 { sites.iter().map(|s| (0..first.states).map(|a| s.pair(a, a)[j]).sum::<f64>()).sum() };
    let squares: f64 = (0..first.hidden).map(|j| unit(j) * unit(j)).sum();
    let most = unit_rank.min(first.states * sites[0].positions()).max(1);
    Ok(CoreNumbers {
        trace: sites.iter().map(|s| s.trace()).sum(),
        frobenius: (libm::sqrt(squares / most as f64), libm::sqrt(squares)),
        rank_bound,
        core_trace,
        core_frobenius: libm::sqrt(core_square),
        core_effective_rank: if core_square > 0.0 { core_trace * core_trace / core_square } else { 0.0 },
    })
}
