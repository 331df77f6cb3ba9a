"""Result files in xarray, by both engines: their axes have names, the same as in `to_xarray`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kpflow

xarray = pytest.importorskip("xarray")
ENGINES = ["netcdf4", "h5netcdf"]

JOB = """
[model]
kind = "gru"
weights = {weights}
[data]
inputs = "{golden}/gru.h5:/inputs"
[output]
state = true
{analyses}
"""
# An analysis may be called what an axis is.
ANALYSES = {
    "unit": 'quantity = "eigenpairs"\ncount = 2\nvectors = true\nwindow = [2, 5]\nunits = [3, 0]',
    "time": 'quantity = "marginal"\naxis = "time"',
    "pair": 'quantity = "marginal"\naxes = ["unit", "time"]\nwindow = [1, 3]\nunits = [4, 2]',
    "trace": 'quantity = "trace"\nmethod = "hutchinson"\nmax_matvecs = 20',
    "density": 'quantity = "density"',
    "blocks": 'quantity = "blocks"',
    "diagonal": 'quantity = "diagonal"',
    "matrix": 'quantity = "matrix"',
    "learn": 'quantity = "learnability"\nwith = "{golden}/gru.h5:/state"',
    "one": 'quantity = "apply"\nwith = "{golden}/gru.h5:/state"',
    "several": 'quantity = "solve"\nwith = "{golden}/gru.h5:/probe"',
    "lyapunov": 'quantity = "lyapunov"',
}


def run(where: Path, golden: Path, weights: str) -> kpflow.Results:
    analyses = "\n".join(f'[[analysis]]\nname = "{name}"\n{rest}' for name, rest in ANALYSES.items())
    text = JOB.replace("{analyses}", analyses).replace("{weights}", weights).replace("{golden}", str(golden))
    (where / "job.toml").write_text(text)
    return kpflow.run(where / "job.toml")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_has_labels(engine: str, tmp_path: Path, golden: Path) -> None:
    pytest.importorskip("netCDF4" if engine == "netcdf4" else engine)
    results = run(tmp_path, golden, f'"{golden}/gru.safetensors"')
    ours = results.to_xarray()
    with xarray.open_datatree(results.path, engine=engine) as tree:
        assert set(tree["analysis"].children) == set(ANALYSES)
        assert tree["state"]["values"].dims == ("trajectory", "time", "unit")
        assert tree["state"]["variables"].values.astype(str) == ["h"]
        for name in ANALYSES:
            theirs = tree[f"analysis/{name}"].to_dataset()
            assert set(theirs.coords) == set(ours[name].coords) and set(theirs.data_vars) == set(ours[name].data_vars)
            for variable, found in ours[name].variables.items():
                there = theirs[variable]
                assert there.dims == found.dims, (name, variable)
                texts = found.dtype.kind == "U"
                assert np.array_equal(there.values.astype(str) if texts else there.values, found.values)
                assert texts or variable not in theirs.data_vars or there.attrs["long_name"] == found.attrs["long_name"]
    with xarray.open_dataset(results.path, engine=engine, group="analysis/unit") as unit:
        assert unit.eigenvectors.sel(mode=0, trajectory=3, unit=0).dims == ("time",)
        assert unit.time.values.tolist() == [2, 3, 4] and unit.unit.values.tolist() == [3, 0]
    pair = ours["pair"].set_index(kept=["time", "unit"])
    assert pair.modes.sel(time=2, unit=4).dims == ("mode",)
    assert ours["trace"].history.sel(column="value")[-1] == results["trace"].value
    table = results["density"].to_pandas()
    assert table.index.name == "grid" and list(table.columns) == ["density", "density_errors"]


@pytest.mark.parametrize("engine", ENGINES)
def test_stages_are_an_axis(engine: str, tmp_path: Path, golden: Path) -> None:
    pytest.importorskip("netCDF4" if engine == "netcdf4" else engine)
    for step in (100, 5, 40):
        (tmp_path / f"step_{step}.safetensors").symlink_to(golden / "gru.safetensors")
    stages = run(tmp_path, golden, '"step_*.safetensors"').stages
    files = [xarray.open_dataset(s.path, engine=engine, group="analysis/unit") for s in reversed(stages)]
    for found in (files, [s.to_xarray()["unit"] for s in stages]):
        joined = xarray.concat(found, "stage").sortby("stage")
        assert joined.eigenvalues.dims == ("stage", "mode") and joined.stage.values.tolist() == [5, 40, 100]
    for file in files:
        file.close()
