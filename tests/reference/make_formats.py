#!/usr/bin/env python3
"""Make formats/formats.h5 and formats/*.npy: numbers as many tools write them, which the tests of kpflow-hpc's load/ read.

    python3 tests/reference/make_formats.py          # needs h5py, hdf5plugin, ml_dtypes

/plain/NAME and /filtered/NAME hold the numbers of /numbers, [3, 4, 2]; /special/NAME those of /special_numbers/NAME, found by numpy and
ml_dtypes; /refused/NAME is refused with a line that has the words of its attribute `says`.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import ml_dtypes
import numpy as np
from h5py import h5d, h5s, h5t

HERE = Path(__file__).parent / "formats"
NUMBERS = (np.arange(24.0).reshape(3, 4, 2) - 9) / 8  # exact in every floating-point type
SPECIAL = np.array([0.0, -0.0, 1 / 3, -1e-4, 65504.0, 6e-8, 6.2e-5, 300.0, -2.5])


def raw(file: h5py.File, name: str, kind: h5t.TypeID, bits: np.ndarray, memory: h5t.TypeID | None = None) -> h5py.Dataset:
    """A dataset of a type that numpy does not have, by its bytes or as libhdf5 makes them of `memory`."""
    group, leaf = name.rsplit("/", 1)
    space = h5s.create_simple(bits.shape)
    made = h5d.create(file.require_group(group).id, leaf.encode(), kind, space)
    made.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(bits), memory or kind)
    return file[name]


def bfloat16(order: int = h5t.ORDER_LE) -> h5t.TypeID:
    kind = h5t.IEEE_F16LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_ebias(127)
    kind.set_order(order)
    return kind


def float8() -> h5t.TypeID:
    kind = h5t.IEEE_F16LE.copy()
    kind.set_fields(7, 3, 4, 0, 3)
    kind.set_ebias(7)
    kind.set_precision(8)
    kind.set_size(1)
    return kind


def floats(file: h5py.File, group: str, x: np.ndarray, expected: str | None) -> None:
    """x in every type of floating-point numbers, both ends first."""
    with np.errstate(over="ignore"):
        halves = x.astype(ml_dtypes.bfloat16)
    rounded = {}
    for name in ("f2", "f4", "f8"):
        for order, word in (("<", ""), (">", "_be")):
            file[f"{group}/{name}{word}"] = x.astype(order + name)
            rounded[name + word] = x.astype(name)
    raw(file, f"{group}/bf16", bfloat16(), halves.view("u2"))
    raw(file, f"{group}/bf16_be", bfloat16(h5t.ORDER_BE), halves.view("u2").byteswap())
    file[f"{group}/longdouble"] = x.astype(np.longdouble)
    turned = h5t.NATIVE_LDOUBLE.copy()
    turned.set_order(h5t.ORDER_BE)
    raw(file, f"{group}/longdouble_be", turned, x.astype(np.longdouble), h5t.NATIVE_LDOUBLE)
    quad = h5t.IEEE_F64LE.copy()
    quad.set_size(16)
    quad.set_precision(128)
    quad.set_fields(127, 112, 15, 0, 112)
    quad.set_ebias(16383)
    raw(file, f"{group}/quad", quad, x, h5t.NATIVE_DOUBLE)
    if expected:
        rounded |= {"bf16": halves, "bf16_be": halves, "longdouble": x, "longdouble_be": x, "quad": x}
        for name, right in rounded.items():
            file[f"{expected}/{name}"] = right.astype("f8")


def main() -> None:
    HERE.mkdir(exist_ok=True)
    with h5py.File(HERE / "formats.h5", "w") as file:
        file["numbers"] = NUMBERS
        floats(file, "plain", NUMBERS, None)
        floats(file, "special", SPECIAL, "special_numbers")
        whole = np.array([[0, 1], [2, 3]])
        for kind in ("u1", "i1", "<u2", ">u2", "<i4", ">i4", "<u8", ">i8"):
            name = kind.replace("<", "").replace(">", "be_")
            file[f"special/{name}"] = (whole if "u" in kind else -whole).astype(kind)
            file[f"special_numbers/{name}"] = (whole if "u" in kind else -whole).astype("f8")
        for name, base in (("bool", None), ("enum", h5py.enum_dtype({"GO": 0, "NOGO": 1, "WAIT": 2, "REST": 3}, basetype=">i2"))):
            file.create_dataset(f"special/{name}", data=whole % 2 == 1 if base is None else whole, dtype=base)
            file[f"special_numbers/{name}"] = (whole % 2 if base is None else whole).astype("f8")
        raw(file, "special/bits", h5t.STD_B8LE, whole.astype("u1"))  # as PyTables writes truth values
        file["special_numbers/bits"] = whole.astype("f8")

        tools = {
            "gzip": {"compression": "gzip"}, "gzip_checked": {"compression": "gzip", "shuffle": True, "fletcher32": True},
            "lzf": {"compression": "lzf"}, "lzf_shuffle": {"compression": "lzf", "shuffle": True},
            "szip": {"compression": "szip"}, "chunks": {"chunks": (2, 3, 2)},
            "blosc": hdf5plugin.Blosc(), "blosc_bits": hdf5plugin.Blosc(cname="lz4hc", shuffle=2),
            "blosc_blosclz": hdf5plugin.Blosc(cname="blosclz", shuffle=0), "blosc_zlib": hdf5plugin.Blosc(cname="zlib"),
        }  # fmt: skip
        for name, how in tools.items():
            # Repeated, so that there is something to compress: a filter leaves what it would make longer as it is.
            many = {"chunks": (3, 4, 64)} | dict(how) if name != "chunks" else dict(how)
            file.create_dataset(f"filtered/{name}", data=np.repeat(NUMBERS, 32, -1), **many)
        file.create_dataset("filtered_scaled/nbit", data=np.repeat(8 * NUMBERS, 32, -1).astype("i4"), scaleoffset=0)

        def refuse(name: str, says: str) -> None:
            file[f"refused/{name}"].attrs["says"] = says

        plugins = {
            "bzip2": (hdf5plugin.BZip2(), "compressed by bzip2 (filter 307)"),
            "lz4": (hdf5plugin.LZ4(), "compressed by lz4 (filter 32004)"),
            "bitshuffle": (hdf5plugin.Bitshuffle(), "compressed by bitshuffle (filter 32008)"),
            "zstd": (hdf5plugin.Zstd(), "compressed by zstd (filter 32015)"),
            "zfp": (hdf5plugin.Zfp(reversible=True), "compressed by zfp (filter 32013)"),
            "blosc2": (hdf5plugin.Blosc2(), "compressed by blosc2 (filter 32026)"),
            "blosc_zstd": (hdf5plugin.Blosc(cname="zstd"), "gzip"),
        }  # fmt: skip
        for name, (how, says) in plugins.items():
            file.create_dataset(f"refused/{name}", data=np.repeat(NUMBERS, 32, -1), **how)
            refuse(name, says)
        raw(file, "refused/float8", float8(), np.zeros(3, "u1"))
        refuse("float8", "floating-point numbers of 8 bits, 4 of them the exponent with the bias 7")
        vax = h5t.IEEE_F32LE.copy()
        vax.set_ebias(129)
        raw(file, "refused/other_bias", vax, np.zeros(3, "f4"))
        refuse("other_bias", "floating-point numbers of 32 bits, 8 of them the exponent with the bias 129")
        for name, data, says in (
            ("ml_bfloat16", NUMBERS.astype(ml_dtypes.bfloat16), 'write x.astype("float32")'),
            ("complex", np.ones(3, "c16"), "complex numbers"),
            ("table", np.zeros(3, [("left", "f8"), ("right", "i4")]), "a table with the columns left, right"),
            ("words", np.array([b"a", b"bc"]), "text; it should hold numbers"),
        ):
            file[f"refused/{name}"] = data
            refuse(name, says)
        file["refused/unicode"] = ["a", "b"]
        refuse("unicode", "text; it should hold numbers")
        file.create_dataset("refused/ragged", (3,), dtype=h5py.vlen_dtype("f8"))
        refuse("ragged", "rows of different length (ragged)")
        file.create_dataset("refused/arrays", (3,), dtype="(2,)f8")
        refuse("arrays", "arrays, one an element")
        file.create_dataset("refused/references", (1,), dtype=h5py.ref_dtype)
        refuse("references", "references to other objects")


if __name__ == "__main__":
    main()
