"""What a notebook and a terminal show: results as HTML, bars of progress."""

from __future__ import annotations

import base64
import fcntl
import os
import pickle
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kpflow
from kpflow import _progress

LONG = dict(method="hutchinson", rtol=0.0)


@pytest.fixture(scope="module")
def model() -> kpflow.Model:
    torch.manual_seed(1)
    return kpflow.linearize(nn.GRU(2, 5, batch_first=True).double(), torch.randn(3, 6, 2).double())


def pictures(html: str) -> list[str]:
    """The titles of the figures, each of which is a picture."""
    for svg in re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', html):
        assert ElementTree.fromstring(base64.b64decode(svg)).tag.endswith("svg")
    return re.findall(r"<figcaption><b>(.*?)\.</b>", html)


def test_results_are_shown_with_their_figure(model: kpflow.Model) -> None:
    a = model.ntk
    pairs = a.eigenpairs(count=4, vectors=True)
    html = pairs._repr_html_()
    assert pictures(html)[0] == "Spectrum of NTK (eigenpairs)" and "λ" in html
    assert "<code>eigenvalues</code> [4]" in html and "<code>eigenvectors</code> [4, 3, 6, 5]" in html
    assert pickle.loads(pickle.dumps(pairs))._repr_html_() == html
    assert pictures(a.marginal("time")._repr_html_())[0] == "Modes over time of NTK (marginal)"
    assert pictures(a.density()._repr_html_())
    exact = a.trace()._repr_html_()
    assert "trace of NTK" in exact and not pictures(exact) and "<td>exact</td>" in exact
    sampled = a.trace(**LONG, max_matvecs=200)._repr_html_()
    assert pictures(sampled) == ["Convergence: trace of NTK (trace)"] and "±" in sampled
    # Nothing that would reach the page around it.
    assert not re.search(r"<(style|script|link)|\bid=", html + sampled)


def test_every_result_is_shown(model: kpflow.Model) -> None:
    e = np.ones((3, 6, 5))
    for found in [
        model.ntk.learnability(e), model.ntk.matrix(), model.ntk.diagonal(), model.ntk.norm(), model.ntk.apply(e),
        model.ntk.alignment(model.ntk), model.ntk.lyapunov(), model.propagator.singular_triplets(count=3),
        model.parameter.blocks(), model.ntk.marginal(["time", "unit"]), model.ntk.trace(window=(1, 4), units=[0, 2]),
    ]:  # fmt: skip
        html = found._repr_html_()
        assert html.count('<th scope="row">') >= 1 and html.count("<div>") == html.count("</div>") == 1, found
        pictures(html)


def job(directory: Path, products: int) -> Path:
    torch.manual_seed(1)
    torch.save(nn.GRU(2, 5, batch_first=True).state_dict(), directory / "w.pt")
    np.save(directory / "x.npy", torch.randn(3, 6, 2).numpy())
    (directory / "job.toml").write_text(
        '[model]\nkind = "gru"\nweights = "w.pt"\n[data]\ninputs = "x.npy"\n'
        '[[analysis]]\nname = "modes"\nquantity = "eigenpairs"\ncount = 3\n'
        f'[[analysis]]\nname = "t"\nquantity = "trace"\nmethod = "hutchinson"\nrtol = 0.0\nmax_matvecs = {products}\n'
    )
    return directory / "job.toml"


def test_files_are_shown(tmp_path: Path) -> None:
    results = kpflow.run(job(tmp_path, 100))
    html = results._repr_html_()
    assert "modes: " in html and "t: trace of NTK" in html
    assert {"Spectrum of NTK (modes)", "Convergence: trace of NTK (t)"} <= set(pictures(html))
    assert pictures(results["modes"]._repr_html_())[0] == "Spectrum of NTK (modes)"


class Drawn:
    """A bar as tqdm has it, which notes what it is told."""

    made: list[Drawn] = []

    def __init__(self, **said: Any) -> None:
        self.said, self.start_t, self.closed, self.all = said, time.time(), False, list[tuple[int, Any, str]]()
        self.n, self.total, self.words = 0, None, ""
        self.made.append(self)

    def set_postfix_str(self, words: str, refresh: bool) -> None:
        self.words = words

    def refresh(self) -> None:
        self.all.append((self.n, self.total, self.words))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    monkeypatch.setattr(_progress, "in_notebook", lambda: True)
    monkeypatch.setattr(_progress, "_maker", lambda: Drawn)
    monkeypatch.setattr(Drawn, "made", [])
    return Drawn.made


def stopped(work: Any, after: float) -> None:
    threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        work()


def test_long_work_has_a_bar(model: kpflow.Model, drawn: list[Drawn], monkeypatch: pytest.MonkeyPatch) -> None:
    model.ntk.trace()
    assert drawn == []
    stopped(lambda: model.ntk.trace(**LONG, max_matvecs=10**8), 1.6)
    (bar,) = drawn
    assert bar.said["desc"] == "trace of ntk" and bar.said["unit"] == " products" and bar.closed
    done, totals, words = zip(*bar.all, strict=True)
    assert list(done) == sorted(done) and done[-1] > done[0] > 0 and set(totals) == {10**8} and "±" in words[-1]
    # Products of many vectors, too.
    monkeypatch.setattr(_progress, "_AFTER", 0.0)
    model.ntk @ np.eye(90)
    assert [bar.said["desc"] for bar in drawn[1:]] == [repr(model.ntk)] and drawn[1].all[-1][1] == 90
    kpflow.progress(False)
    try:
        model.ntk @ np.eye(90)
    finally:
        kpflow.progress(True)
    assert len(drawn) == 2 and model.ntk.trace().value > 0.0


def test_a_bar_that_breaks_ends_the_work(model: kpflow.Model, drawn: list[Drawn]) -> None:
    def breaks(self: Drawn) -> None:
        raise OSError("the terminal is gone")

    Drawn.refresh, kept = breaks, Drawn.refresh  # type: ignore[method-assign]
    try:
        with pytest.raises(OSError, match="is gone"):
            model.ntk.trace(**LONG, max_matvecs=10**8)
    finally:
        Drawn.refresh = kept  # type: ignore[method-assign]
    assert model.ntk.trace().value > 0.0


def test_a_job_has_bars(tmp_path: Path, drawn: list[Drawn]) -> None:
    stopped(lambda: kpflow.run(job(tmp_path, 10**8)), 5.0)
    bar = drawn[-1]
    assert bar.said["desc"] == "t" and bar.closed and bar.all[-1][0] > 0 and bar.all[-1][1] == 10**8


SCRIPT = """
import torch, kpflow, threading, os, signal
a = kpflow.ntk(torch.nn.GRU(2, 5, batch_first=True), torch.randn(3, 6, 2))
threading.Timer(1.8, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    a.trace(method="hutchinson", rtol=0.0, max_matvecs=10**8)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_by_tqdm_in_a_terminal_and_nowhere_else(terminal: bool) -> None:
    pytest.importorskip("tqdm")
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
    pipes: Any = {"stdout": theirs, "stderr": theirs} if terminal else {"stdout": theirs, "stderr": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], **pipes)
    os.close(theirs)
    said, errors = b"", (child.stderr.read() if child.stderr else b"")
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert child.wait(30) == 0 and errors == b""
    if terminal:
        assert b"trace of ntk" in said and b" products" in said and b"\xc2\xb1" in said
    else:
        assert said == b""
