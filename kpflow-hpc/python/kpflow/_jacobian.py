"""The Jacobian of the state with respect to the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ._arrays import is_torch, tensor, to_numpy
from ._results import Array

if TYPE_CHECKING:
    from ._models import Model


class Jacobian(LinearOperator):  # type: ignore[misc]
    """dz/dθ, `[n, n_θ]`, never formed: a SciPy LinearOperator, of which NTK = (dz/dθ) (dz/dθ)ᵀ.

    `J @ w` takes `[n_θ]` or `[n_θ, m]` and is how a change of the parameters moves the state; `J.T @ e` takes `[n]` or
    `[n, m]`, and of e = ∂L/∂z is the gradient ∂L/∂θ. numpy in, numpy out; torch in, torch out (without gradients).
    θ is every weight in the model's order, its matrix row by row and then its bias: for a native kind the tensors of
    the checkpoint; a graph's matrices are those that it multiplies by. One sweep a product.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        super().__init__(np.dtype(model.dtype), (int(np.prod(model.shape)), model.parameters))

    def __repr__(self) -> str:
        return f"<dz/dθ of {self.model.kind}, {self.shape[0]} × {self.shape[1]}, {self.dtype}>"

    def dot(self, x: Any) -> Any:
        if is_torch(x):
            return tensor(self.dot(to_numpy(x)), x)
        return super().dot(x)

    def __matmul__(self, x: Any) -> Any:
        return self.dot(x)

    def _matvec(self, x: Array) -> Array:
        return self._matmat(x.reshape(-1, 1))[:, 0]

    def _rmatvec(self, x: Array) -> Array:
        return self._rmatmat(x.reshape(-1, 1))[:, 0]

    def _matmat(self, x: Array) -> Array:
        batch, steps, units = self.model.shape
        rows = np.ascontiguousarray(x.T, self.dtype)
        y = np.frombuffer(self.model._model.jacobian(False, rows.tobytes()), self.dtype)
        found: Array = y.reshape(batch, len(rows), steps * units).transpose(0, 2, 1).reshape(self.shape[0], len(rows))
        return found

    def _rmatmat(self, x: Array) -> Array:
        batch, steps, units = self.model.shape
        rows = np.ascontiguousarray(x.reshape(batch, steps * units, -1).transpose(0, 2, 1), self.dtype)
        y = np.frombuffer(self.model._model.jacobian(True, rows.tobytes()), self.dtype)
        found: Array = y.reshape(x.shape[1], self.shape[1]).T
        return found
