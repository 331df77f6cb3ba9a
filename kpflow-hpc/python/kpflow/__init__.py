"""What can gradient descent learn in this model, and in which order?

The neural tangent kernel NTK = P K Pᵀ of a model run on fixed inputs, and its parts, as linear operators that are
never formed:

    import kpflow
    ntk = kpflow.ntk(module, inputs)          # a torch.nn.GRU, say, and its inputs [B, T, n_in]
    ntk.effective_rank()                      # an estimate with its error
    ntk @ v                                   # SciPy's LinearOperator, of numpy arrays and torch tensors
"""

from ._files import Results, open, run
from ._models import Model, linearize, load, ntk
from ._operators import Operator
from ._progress import progress
from ._quantities import (
    Apply,
    Blocks,
    Density,
    Diagonal,
    Eigenpairs,
    Learnability,
    Lyapunov,
    Marginal,
    Matrix,
    SingularTriplets,
    Solve,
)
from ._results import Estimate, Result
from ._tasks import Interference

__all__ = [
    "Apply",
    "Blocks",
    "Density",
    "Diagonal",
    "Eigenpairs",
    "Estimate",
    "Interference",
    "Learnability",
    "Lyapunov",
    "Marginal",
    "Matrix",
    "Model",
    "Operator",
    "Result",
    "Results",
    "SingularTriplets",
    "Solve",
    "linearize",
    "load",
    "ntk",
    "open",
    "progress",
    "run",
]
