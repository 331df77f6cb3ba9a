"""What one brings along from other libraries."""

from __future__ import annotations

import numpy as np
import pytest

import kpflow


def test_foreign_names_get_a_hint() -> None:
    weights = {"weight_ih_l0": np.ones((4, 2)), "weight_hh_l0": 0.1 * np.ones((4, 4))}
    inputs = np.ones((1, 3, 2))
    ntk = kpflow.ntk(weights, inputs, kind="rnn", dtype="float32")
    assert ntk.dtype == np.float32
    for ask, said in [
        (lambda: ntk.eigenpairs(k=5), "count"),
        (lambda: ntk.trace(tol=1e-3), "rtol"),
        (lambda: ntk.eigenpairs(return_eigenvectors=True), "vectors"),
        (lambda: ntk.trace(random_state=1), "seed"),
        (lambda: ntk.learnability(np.ones(12), n_components=3), "count"),
        (lambda: ntk.eigsh(), "eigenpairs"),
        (lambda: kpflow.ntk(weights, inputs, kind="rnn", device="cuda"), "no device to choose"),
        (lambda: kpflow.ntk(weights, inputs, kind="rnn", n_jobs=2), "threads"),
    ]:  # fmt: skip
        with pytest.raises((TypeError, ValueError, AttributeError), match=said):
            ask()
