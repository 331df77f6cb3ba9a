"""Operators: they are applied to one's own vectors, and asked for their quantities."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from ._arrays import held, is_torch, tensor, to_numpy
from ._hints import would_be_right
from ._progress import Bar
from ._quantities import Found, Learnability, Quantities
from ._results import Array, array, known
from ._tasks import Interference, interference, signals

if TYPE_CHECKING:
    from ._models import Model


class Operator(Quantities, LinearOperator):  # type: ignore[misc]
    """A linear operator A of a model, never formed: a SciPy LinearOperator of shape `[n, n]`.

    `A @ x` takes vectors `[n]` or `[n, m]`, or as the state is, `[B, T, N]` or `[m, B, T, N]`: numpy arrays, or
    torch tensors,
    of which it gives tensors (without gradients). `A.T` and `A.adjoint()` are Aᵀ. The methods that it has
    beside SciPy's are
    the quantities of the job file. The flat index of trajectory b, step t, unit j is (b·T + t)·N + j.
    """

    def __init__(
        self, model: Model, name: str, shape: tuple[int, int, int], symmetric: bool, adjoint: bool = False
    ) -> None:
        n = int(np.prod(shape))
        super().__init__(np.dtype(model.dtype), (n, n))
        self.model = model
        self.name = name
        self.state_shape = shape
        self._symmetric = symmetric
        self._adjointed = adjoint

    def __repr__(self) -> str:
        name = f"{self.name}ᵀ" if self._adjointed else self.name
        return f"<{name} of {self.model.kind}, {self.shape[0]} × {self.shape[1]}, {self.dtype}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{type(self).__name__} has no {name}; {would_be_right(name, known())}")

    def __matmul__(self, x: Any) -> Any:
        return self.dot(x)

    def dot(self, x: Any) -> Any:
        """A x, of what the class says; or, as SciPy has it, the product with another operator or a number."""
        if is_torch(x):
            found = self.dot(to_numpy(x))
            return tensor(found, x)
        if isinstance(x, (list, tuple)):
            x = np.asarray(x)
        if isinstance(x, np.ndarray) and x.ndim in (1, 2, 3, 4):
            return self._apply(x, self._adjointed)
        return super().dot(x)

    def _apply(self, x: Array, adjoint: bool) -> Array:
        if np.iscomplexobj(x):
            return self._apply(x.real, adjoint) + 1j * self._apply(x.imag, adjoint)
        n, columns = self.shape[0], False
        if x.ndim <= 2:
            if x.shape[0] != n:
                raise ValueError(
                    f"x has shape {list(x.shape)}; a vector is [{n}], several are [{n}, m], {self._as_state()}"
                )
            # Columns that lie one after the other are rows of vectors.
            turned = x.ndim == 2 and not x.flags.c_contiguous
            columns = x.ndim == 2 and not turned
            x = x.T if turned else x
        else:
            turned = False
            if x.shape[-3:] != self.state_shape:
                raise ValueError(f"x has shape {list(x.shape)}; {self._as_state()}")
        x = np.ascontiguousarray(x, self.dtype)
        y = np.empty(x.shape, self.dtype)
        vectors = x.size // n
        if vectors:
            with Bar(repr(self)) as tell:
                self.model._model.apply(self.name, adjoint, x, y, (vectors, columns), tell)
        return y.T if turned else y

    def _as_state(self) -> str:
        b, t, n = self.state_shape
        return f"and as the state [{b}, {t}, {n}] or [m, {b}, {t}, {n}]"

    def _matvec(self, x: Array) -> Array:
        return self._apply(np.asarray(x).reshape(-1), self._adjointed)

    def _matmat(self, x: Array) -> Array:
        return self._apply(np.asarray(x), self._adjointed)

    def _rmatvec(self, x: Array) -> Array:
        return self._apply(np.asarray(x).reshape(-1), not self._adjointed)

    def _rmatmat(self, x: Array) -> Array:
        return self._apply(np.asarray(x), not self._adjointed)

    def _adjoint(self) -> Operator:
        if self._symmetric:
            return self
        return Operator(self.model, self.name, self.state_shape, self._symmetric, not self._adjointed)

    _transpose = _adjoint

    @overload
    def learnability(
        self, signal: Mapping[str, Any], *, readout: Any = None, **keys: Any
    ) -> dict[str, Learnability]: ...
    @overload
    def learnability(self, signal: ArrayLike, *, readout: Any = None, **keys: Any) -> Learnability: ...
    def learnability(self, signal: Any, *, readout: Any = None, **keys: Any) -> Any:
        """What gradient descent can do about an error signal e, by the share of it in each mode: eᵀ A e / (‖e‖² λ_max).

        `signal`: e, [B, T, N] or flat; or tasks by name: {name: (target, loss, mask)}, of which e is ∂L/∂z and a result
            for each name comes back. `target` is as the output, [B, T, n_out], or classes [B, T]; `loss` (its default
            "mse") "cross_entropy", "next_token", or a function of output and target that torch differentiates; `mask`,
            where there is one, [B, T]. A task may also be a function of the output alone, or an error signal.
        `readout`: what makes the output of the state: the name of a linear layer of the module, or a function of torch;
            the one linear layer that can read it, if there is one, else none.
        `keys`: those of Quantities.learnability: `count`, `learning_rate`, `rtol`, `max_matvecs`, `method`, `seed` …

        Raises ValueError where a task does not fit the state.
        """
        if isinstance(signal, Mapping):
            errors = signals(self.model, signal, readout)
            return {name: super(Operator, self).learnability(error, **keys) for name, error in errors.items()}
        return super().learnability(signal, **keys)

    def interference(self, tasks: Mapping[str, Any], *, readout: Any = None) -> Interference:
        """e_iᵀ A e_j: how learning task j moves the error of task i. Tasks and `readout` as learnability has them.

        Exact, with one product a task.
        """
        return interference(self.name, self.__matmul__, signals(self.model, tasks, readout))

    def _analyse(
        self,
        of: type[Found],
        quantity: str,
        said: Mapping[str, Any],
        seed: int | None,
        given: Operator | ArrayLike | None,
    ) -> Found:
        if self._adjointed:
            raise ValueError(f"quantities are asked of {self.name}, not of its adjoint")
        keys = {key: value for key, value in said.items() if value is not None}
        analysis = {"quantity": quantity, "operator": self.name} | keys
        given_array = None
        if isinstance(given, Operator):
            if given.name != self.name:
                raise ValueError(
                    f"{quantity} of {self.name} is with {self.name} of another model, not with {given.name}"
                )
            analysis["with"] = given.model._weights
        elif given is not None:
            x = to_numpy(given) if is_torch(given) else np.asarray(given)
            given_array = ("vectors" if quantity == "apply" else "signal", *held(self._as_states(x)))
        asked = json.dumps(analysis, default=_plain)
        with Bar(f"{quantity} of {self.name}") as tell:
            fields, arrays, warned = self.model._model.analyse(asked, seed, given_array, tell)
        for message in warned:
            warnings.warn(message, stacklevel=4)
        about = {
            "options": json.loads(asked),
            "shape": self.model.shape,
            "variables": list(self.model.variables.items()),
        }
        found = {name: array(shape, data, numbers) for name, numbers, shape, data in arrays}
        return of(json.loads(fields) | about, found)

    def _as_states(self, x: Array) -> Array:
        """Flat vectors as the state is."""
        if x.ndim == 1 and x.shape[0] == self.shape[0]:
            return x.reshape(self.model.shape)
        if x.ndim == 2 and x.shape[0] == self.shape[0]:
            return x.T.reshape(-1, *self.model.shape)
        return x


def _plain(x: Any) -> Any:
    """Numbers of numpy and tuples as JSON has them."""
    if isinstance(x, (np.generic, np.ndarray)):
        return x.tolist()
    if isinstance(x, range):
        return list(x)
    raise ValueError(f"{x!r} is nothing that a job can say")
