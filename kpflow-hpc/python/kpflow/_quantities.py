"""The quantities of an operator. Made by generate.py of kpflow-hpc/src/analysis: change it there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from numpy.typing import ArrayLike

from ._hints import known_keywords
from ._results import Array, Estimate, Result

if TYPE_CHECKING:
    from ._operators import Operator

Found = TypeVar("Found", bound=Result)


class Eigenpairs(Result):
    """Eigenpairs: A v = λ v.

    `eigenvalues`: [k], in A. The largest first.
    `residuals`: [k]. ‖A v − λ v‖ / λ_1, measured; of an exact matrix without vectors what rounding leaves
        open. With `which = "smallest"` and `near` by the largest that is listed.
    `eigenvectors`: [k, B, T, N]. Of length 1. If vectors=True.
    `history`: [steps, 3]. matvecs, the largest value and the largest estimated residual on the way.
    """

    eigenvalues: Array
    residuals: Array
    eigenvectors: Array
    history: Array


class SingularTriplets(Result):
    """Singular triplets: A v = σ u, Aᵀ u = σ v.

    `singular_values`: [k], in A. The largest first.
    `residuals`: [k]. ‖A v − σ u‖ / σ_1, measured by one more product.
    `left_vectors`: [k, B, T, N]. u, of length 1. If vectors=True.
    `right_vectors`: [k, B, T, N]. v, of length 1. If vectors=True.
    `history`: [steps, 3]. matvecs, the largest value and the largest estimated residual on the way.
    """

    singular_values: Array
    residuals: Array
    left_vectors: Array
    right_vectors: Array
    history: Array


class Density(Estimate):
    """Density: Σ δ(λ − λ_i) / n.

    `value`: a number, in A. The trace.
    `standard_error`: a number, in A. Its standard error: 0 where the method is exact and in f64, infinite
        where too few products allow none.
    `interval`: [2], in A. The ends of its 95 % interval, which need not be symmetric; infinite where the
        samples allow no end.
    `zero_mass`: a number. The share of eigenvalues that are 0, an atom: 1 − rank bound / n, or what was found
        at rounding if that is more.
    `zero_mass_error`: a number. The standard error of zero_mass: how much more it may be.
    `zero_mass_interval`: [2]. The ends of the 95 % interval of zero_mass: at least 1 − rank bound / n, at
        most zero_mass_bound.
    `zero_mass_bound`: a number. No more than this share can be 0, the sampling error of the bound included.
    `grid`: [points], in A. Where the density is told, over λ.
    `density`: [points], in 1/A. Of the eigenvalues that are not 0, smoothed by Gaussians; its integral is 1.
    `density_errors`: [points], in 1/A. The standard errors of the density.
    `width`: a number, in A. The width of the Gaussians of the density over λ.
    `log10_grid`: [points], in log₁₀ A. Where the density is told, over log₁₀ λ.
    `log10_density`: [points]. The same density over log₁₀ λ: the share of eigenvalues for each decade.
    `history`: [steps, 3]. matvecs, value and standard error as the estimate converged.
    """

    zero_mass: float
    zero_mass_error: float
    zero_mass_interval: Array
    zero_mass_bound: float
    grid: Array
    density: Array
    density_errors: Array
    width: float
    log10_grid: Array
    log10_density: Array
    __repr__ = Result.__repr__


class Marginal(Estimate):
    """Marginal: Σ_i e_iᵀ A e_i over the other axes.

    `value`: a number, in A. The trace.
    `standard_error`: a number, in A. Its standard error: 0 where the method is exact and in f64, infinite
        where too few products allow none.
    `interval`: [2], in A. The ends of its 95 % interval, which need not be symmetric; infinite where the
        samples allow no end.
    `effective_rank`: a number. The effective rank of the matrix, its participation ratio tr²/‖·‖_F².
    `effective_rank_error`: a number. The standard error of effective_rank.
    `matrix`: [d, d], in A. The partial trace, over the axes that are kept.
    `standard_errors`: [d, d], in A. The standard errors of its entries.
    `eigenvalues`: [k], in A. Those of the matrix, largest first.
    `modes`: [k, d]. The eigenvectors of the matrix, mode i in row i.
    `history`: [steps, 3]. matvecs, value and standard error as the estimate converged.
    """

    effective_rank: float
    effective_rank_error: float
    matrix: Array
    standard_errors: Array
    eigenvalues: Array
    modes: Array
    __repr__ = Result.__repr__


class Matrix(Estimate):
    """Matrix: a_ij.

    `value`: a number, in A. The trace.
    `standard_error`: a number, in A. Its standard error: 0 where the method is exact and in f64, infinite
        where too few products allow none.
    `interval`: [2], in A. The ends of its 95 % interval, which need not be symmetric; infinite where the
        samples allow no end.
    `effective_rank`: a number. The effective rank of the matrix, its participation ratio tr²/‖·‖_F².
    `matrix`: [n, n], in A. The whole, by flat indices (b·T + t)·N + j; beyond 4096 numbers and `[output]
        parts` MiB there is `rows` in its place.
    `eigenvalues`: [k], in A. All of them, largest first; beyond 4096 numbers there are none.
    `rows`: [m, B, T, N], in A. The whole where `matrix` is too large, row i by its flat index, in the
        precision of the run.
    `other`: [m, B, T, N], in A. With `other_inputs` y: A(x, y), row i the state on x for number i, by its
        flat index, of the state on y.
    """

    effective_rank: float
    matrix: Array
    eigenvalues: Array
    rows: Array
    other: Array
    __repr__ = Result.__repr__


class Blocks(Estimate):
    """Blocks: ‖A_ab‖_F, tr A_aa.

    `value`: a number, in A. The trace.
    `standard_error`: a number, in A. Its standard error: 0 where the method is exact and in f64, infinite
        where too few products allow none.
    `interval`: [2], in A. The ends of its 95 % interval, which need not be symmetric; infinite where the
        samples allow no end.
    `matrix`: [V, V], in A. ‖A_ab‖_F of the variables a and b.
    `standard_errors`: [V, V], in A. The standard errors of its entries.
    `traces`: [V], in A. tr A_aa of each variable.
    `trace_errors`: [V], in A. The standard errors of traces.
    """

    matrix: Array
    standard_errors: Array
    traces: Array
    trace_errors: Array
    __repr__ = Result.__repr__


class Learnability(Estimate):
    """Learnability: eᵀ A e / (‖e‖² λ_max).

    `value`: a number. The value.
    `standard_error`: a number. Its standard error: 0 where the method is exact and in f64, infinite where too
        few products allow none.
    `interval`: [2]. The ends of its 95 % interval, which need not be symmetric; infinite where the samples
        allow no end.
    `predicted_decrease`: a number, in loss. η eᵀ A e: by how much a step of gradient descent lowers the loss.
    `eigenvalues`: [k], in A. The largest first.
    `residuals`: [k]. ‖A v − λ v‖ / λ_1, measured; of an exact matrix without vectors what rounding leaves
        open.
    `energies`: [k]. (v·e)² / ‖e‖² of each mode v.
    `time_constants`: [k], in steps. 1/(ηλ): steps of gradient descent until the error along a mode has shrunk
        by e.
    `history`: [steps, 3]. matvecs, the largest value and the largest estimated residual on the way.
    """

    predicted_decrease: float
    eigenvalues: Array
    residuals: Array
    energies: Array
    time_constants: Array
    __repr__ = Result.__repr__


class Lyapunov(Estimate):
    """Largest Lyapunov exponent: log|diag R| / (T−1), QR = A_{T−1} … A_1.

    `value`: a number, in 1/step. The mean over trajectories of the largest exponent; −inf if a trajectory
        loses all directions.
    `standard_error`: a number. Its standard error: 0 where the method is exact and in f64, infinite where too
        few products allow none.
    `interval`: [2]. The ends of its 95 % interval, which need not be symmetric; infinite where the samples
        allow no end.
    `exponents`: [B, N], in 1/step. Largest first within a trajectory; −inf for a direction that is lost
        altogether.
    """

    exponents: Array
    __repr__ = Result.__repr__


class Diagonal(Estimate):
    """Trace by its diagonal: A_ii, ‖A_i‖.

    `value`: a number, in A. The trace, the sum of the diagonal.
    `standard_error`: a number, in A. Its standard error: 0 where the method is exact and in f64, infinite
        where too few products allow none.
    `interval`: [2], in A. The ends of its 95 % interval, which need not be symmetric; infinite where the
        samples allow no end.
    `diagonal`: [B, T, N], in A. A_ii.
    `diagonal_errors`: [B, T, N], in A. The standard errors of the diagonal.
    `row_norms`: [B, T, N], in A. ‖A_i‖ = (Σ_j A_ij²)^½.
    `row_norm_errors`: [B, T, N], in A. The standard errors of the row norms.
    `history`: [steps, 3]. matvecs, value and standard error as the estimate converged.
    """

    diagonal: Array
    diagonal_errors: Array
    row_norms: Array
    row_norm_errors: Array
    __repr__ = Result.__repr__


class Apply(Estimate):
    """Length of the product: A x.

    `value`: a number, in A x. ‖A x‖, over all vectors together.
    `standard_error`: a number. Its standard error: 0 where the method is exact and in f64, infinite where too
        few products allow none.
    `interval`: [2]. The ends of its 95 % interval, which need not be symmetric; infinite where the samples
        allow no end.
    `product`: [m, B, T, N], in A x. A x, or Aᵀ x; [B, T, N] where x is.
    """

    product: Array
    __repr__ = Result.__repr__


class Solve(Estimate):
    """Quadratic form of the inverse: bᵀ (A + σ²)⁻¹ b.

    `value`: a number, in b²/A. bᵀx + xᵀr, r what x leaves of b, summed over all vectors b.
    `standard_error`: a number, in b²/A. The wider half of the interval, by 1.96: a bound.
    `interval`: [2], in b²/A. Between which it is, by the residuals: from the value to ‖r‖²/σ² more, with what
        rounding may hide.
    `forms`: [m], in b²/A. bᵀx + xᵀr of each vector.
    `form_intervals`: [m, 2], in b²/A. Between which each is.
    `solution`: [m, B, T, N], in b/A. x; [B, T, N] where b is.
    `residuals`: [m]. ‖b − (A + σ²) x‖ / ‖b‖ of each, by a product with the x that is written.
    `error_bounds`: [m], in b/A. ‖x − x*‖ is at most this: the residual by σ², with what rounding may hide.
    `history`: [steps, 3]. matvecs, the value and the largest residual as it converged.
    """

    forms: Array
    form_intervals: Array
    solution: Array
    residuals: Array
    error_bounds: Array
    __repr__ = Result.__repr__


_CLASSES: dict[str, type[Result]] = {
    "trace": Estimate,
    "frobenius": Estimate,
    "effective_rank": Estimate,
    "stable_rank": Estimate,
    "entropy_rank": Estimate,
    "log_det": Estimate,
    "norm": Estimate,
    "eigenpairs": Eigenpairs,
    "singular_triplets": SingularTriplets,
    "density": Density,
    "marginal": Marginal,
    "matrix": Matrix,
    "blocks": Blocks,
    "alignment": Estimate,
    "learnability": Learnability,
    "lyapunov": Lyapunov,
    "diagonal": Diagonal,
    "apply": Apply,
    "solve": Solve,
}


def result(
    fields: Mapping[str, Any], arrays: Mapping[str, Any], later: Mapping[str, Callable[[], Array]] | None = None
) -> Result:
    """What an analysis found, as an object of its quantity's class."""
    return _CLASSES.get(fields["quantity"], Result)(fields, arrays, later)


class Quantities:
    """What can be asked of an operator A: a method for each quantity of the job file."""

    @abstractmethod
    def _analyse(
        self,
        of: type[Found],
        quantity: str,
        said: Mapping[str, Any],
        seed: int | None,
        given: Operator | ArrayLike | None,
    ) -> Found: ...

    @known_keywords
    def trace(
        self,
        *,
        side: Literal["reverse", "forward"] | None = None,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal[
            "auto",
            "exact",
            "per_trajectory",
            "per_trajectory_xnystrace",
            "hutchinson",
            "hutchpp",
            "nystrompp",
            "xtrace",
            "xnystrace",
            "one_sided",
            "dense",
        ] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """tr A

        The sum of the eigenvalues: how far learning moves the state in all.

        `side`: Error signals back through the model, or changes of the weights forward. For
            method="one_sided".
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "trace",
            {
                "side": side,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def frobenius(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "exact", "hutchpp", "hutchinson", "one_sided", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """‖A‖_F = √(Σ a_ij²)

        The root of the sum of the squared singular values.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator, propagator_gram, core, constraint.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "frobenius",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def effective_rank(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "exact", "hutchpp", "hutchinson", "one_sided", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """tr(A)² / ‖A‖_F²

        The participation ratio of the eigenvalues: in about how many directions learning moves the state.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "effective_rank",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def stable_rank(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "hutchpp", "hutchinson", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """‖A‖_F² / ‖A‖²

        How many directions matter as much as the largest one.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "stable_rank",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def entropy_rank(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "lanczos", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """exp(−Σ p log p), p = λ / tr A

        The exponential of the entropy of the eigenvalues' shares of the trace.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "entropy_rank",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def log_det(
        self,
        *,
        noise: float = 1.0,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "lanczos", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """log det(I + A/σ²)

        Twice the information that observations with noise of variance σ² have of a Gaussian process of this
        kernel.

        `noise`: σ² of log det(I + A/σ²) and of (A + σ²)⁻¹ b.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "log_det",
            {
                "noise": noise,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def norm(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "block_krylov", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """‖A‖ = max ‖A x‖ / ‖x‖

        The largest eigenvalue; of propagator and constraint the largest singular value.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator, propagator_gram, core, constraint.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "norm",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def eigenpairs(
        self,
        *,
        count: int = 20,
        which: Literal["largest", "smallest"] = "largest",
        near: float | None = None,
        vectors: bool = False,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "block_krylov", "dense"] = "auto",
        seed: int | None = None,
    ) -> Eigenpairs:
        """A v = λ v

        The leading modes: the directions in which learning moves the state most, and how far.

        `count`: How many, the largest first.
        `which`: The largest, or the smallest of those that are not 0; these are read from the exact matrix of
            the smaller side.
        `near`: In the place of `which`: those that are not 0 and nearest to this, read from the exact matrix
            too.
        `vectors`: Whether the vectors are written too; a marginal's modes always are.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Eigenpairs.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Eigenpairs,
            "eigenpairs",
            {
                "count": count,
                "which": which,
                "near": near,
                "vectors": vectors,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def singular_triplets(
        self,
        *,
        count: int = 20,
        vectors: bool = False,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "block_krylov"] = "auto",
        seed: int | None = None,
    ) -> SingularTriplets:
        """A v = σ u, Aᵀ u = σ v

        The leading singular values of propagator and constraint, which are not symmetric.

        `count`: How many, the largest first.
        `vectors`: Whether the vectors are written too; a marginal's modes always are.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For propagator, constraint.

        Gives a SingularTriplets.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            SingularTriplets,
            "singular_triplets",
            {
                "count": count,
                "vectors": vectors,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def density(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "lanczos", "dense"] = "auto",
        seed: int | None = None,
    ) -> Density:
        """Σ δ(λ − λ_i) / n

        How the eigenvalues are spread.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Density.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Density,
            "density",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def marginal(
        self,
        axes: str | Sequence[str] | None = None,
        *,
        axis: str | None = None,
        vectors: bool = False,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "hutchinson", "dense"] = "auto",
        seed: int | None = None,
    ) -> Marginal:
        """Σ_i e_iᵀ A e_i over the other axes

        A matrix over one or two axes of the state: where in the task, and in which units, learning moves it
        together.

        `axes`: The axes that are left; the operator is traced over the others.
        `vectors`: Whether the vectors are written too; a marginal's modes always are.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Marginal.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Marginal,
            "marginal",
            {
                "axes": axes,
                "axis": axis,
                "vectors": vectors,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def matrix(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "exact", "dense"] = "auto",
        seed: int | None = None,
    ) -> Matrix:
        """a_ij

        Every entry; of ntk and parameter without products, for readouts of up to 30000 numbers.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Matrix.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Matrix,
            "matrix",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def blocks(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "hutchinson", "dense"] = "auto",
        seed: int | None = None,
    ) -> Blocks:
        """‖A_ab‖_F, tr A_aa

        How strongly the variables of the state, its layers for example, are coupled in learning.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Blocks.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Blocks,
            "blocks",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def alignment(
        self,
        other: Operator,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "hutchpp", "hutchinson", "one_sided", "dense"] = "auto",
        seed: int | None = None,
    ) -> Estimate:
        """⟨A, B⟩_F / (‖A‖_F ‖B‖_F)

        How alike the operator is to that of other weights: 1 where they are the same up to a factor.

        `other`: the same operator of other weights on the same inputs.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives an Estimate.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Estimate,
            "alignment",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            other,
        )

    @known_keywords
    def learnability(
        self,
        signal: ArrayLike,
        *,
        count: int = 20,
        learning_rate: float = 1.0,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "block_krylov", "dense"] = "auto",
        seed: int | None = None,
    ) -> Learnability:
        """eᵀ A e / (‖e‖² λ_max)

        What gradient descent can do about an error signal e, by the share of it in each mode.

        `count`: How many, the largest first.
        `signal`: an error signal, [B, T, N] or flat, [n].
        `learning_rate`: η of gradient descent.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Learnability.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Learnability,
            "learnability",
            {
                "count": count,
                "learning_rate": learning_rate,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            signal,
        )

    @known_keywords
    def lyapunov(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "exact"] = "auto",
        seed: int | None = None,
    ) -> Lyapunov:
        """log|diag R| / (T−1), QR = A_{T−1} … A_1

        How fast neighbouring states part, a step: above 0 they do, below 0 they meet.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram, core.

        Gives a Lyapunov.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Lyapunov,
            "lyapunov",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def diagonal(
        self,
        *,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "hutchpp", "hutchinson", "dense"] = "auto",
        seed: int | None = None,
    ) -> Diagonal:
        """A_ii, ‖A_i‖

        How far learning moves each number of the state by itself, and how far all errors together move it.

        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator, propagator_gram, core, constraint.

        Gives a Diagonal.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Diagonal,
            "diagonal",
            {
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            None,
        )

    @known_keywords
    def apply(
        self,
        vectors: ArrayLike,
        *,
        adjoint: bool = False,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "exact"] = "auto",
        seed: int | None = None,
    ) -> Apply:
        """A x

        What the operator makes of a vector: how the state moves along a given error signal, say.

        `vectors`: x, [B, T, N], [m, B, T, N], or flat, [n] or [n, m].
        `adjoint`: Aᵀ x in place of A x, where A is not symmetric.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator, propagator_gram, constraint.

        Gives an Apply.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Apply,
            "apply",
            {
                "adjoint": adjoint,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            vectors,
        )

    @known_keywords
    def solve(
        self,
        vectors: ArrayLike,
        *,
        noise: float = 1.0,
        rtol: float = 0.001,
        max_matvecs: int = 1000,
        window: tuple[int, int] | None = None,
        units: Sequence[int] | None = None,
        average: bool = False,
        method: Literal["auto", "cg", "dense"] = "auto",
        seed: int | None = None,
    ) -> Solve:
        """bᵀ (A + σ²)⁻¹ b

        What kernel regression with noise of variance σ² makes of b: its weights x = (A + σ²)⁻¹ b, and how
        unlikely b is.

        `vectors`: x, [B, T, N], [m, B, T, N], or flat, [n] or [n, m].
        `noise`: σ² of log det(I + A/σ²) and of (A + σ²)⁻¹ b.
        `rtol`: Stop when the 95 % interval is surely within this of the value, relatively; of pairs and
            solutions when every residual is below, of matrices and diagonals by the norm of the errors.
        `max_matvecs`: Or when this many operator products are spent; two one-sided sweeps count as one.
        `window`: Only these steps of the state, from the first to before the end.
        `units`: Only these units, in this order.
        `average`: The mean over trajectories of the diagonal blocks, an operator on [1, T, N].
        `method`: how; of this operator, those that JOB.md names.
        `seed`: of the random numbers; the model's.
        For ntk, parameter, propagator_gram.

        Gives a Solve.

        Raises ValueError where this operator or model does not have it, or a key is out of its range;
        RuntimeError where the work fails.
        """
        return self._analyse(
            Solve,
            "solve",
            {
                "noise": noise,
                "rtol": rtol,
                "max_matvecs": max_matvecs,
                "window": window,
                "units": units,
                "average": average,
                "method": method,
            },
            seed,
            vectors,
        )
