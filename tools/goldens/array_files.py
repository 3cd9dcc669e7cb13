#!/usr/bin/env python3
"""Golden bytes of the safetensors and NumPy file formats, from their reference implementations.

    python3 tools/goldens/array_files.py packages/core/test/golden/array-files.json

Needs numpy and safetensors. Files stand in the JSON as base64; the values in them are written down in the test.
"""
import base64
import hashlib
import io
import json
import pathlib
import sys

import numpy
import safetensors
import safetensors.numpy

MATRIX = numpy.array([[1.5, -2.25, 3.0], [0.0, 1e-30, -1e30]], dtype="f4")
ARRAYS = {
    "z": MATRIX,
    "a": numpy.arange(5, dtype="u1"),
    'é"\n\u001f\u007f': numpy.array(1.5),
    "i": numpy.array([[1, -2]], dtype="i4"),
    "l": numpy.array([2**40], dtype="i8"),
    "b": numpy.array([True, False, True]),
    # In UTF-8 the first sorts after the second, in UTF-16 before.
    "\U0001f600": numpy.zeros((0, 3), "f4"),
    "\uffee": numpy.ones(1, "f4"),
}


def npy(array, version=None):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, array, version=version) if version else numpy.save(file, array)
    return file.getvalue()


def main(path):
    files = {"safetensors": safetensors.numpy.save(ARRAYS, metadata={"key": 'a "value"\u001f\u007fé'})}
    for name in ("z", "a", 'é"\n\u001f\u007f', "i", "l", "b", "\U0001f600"):
        files[f"npy {name}"] = npy(ARRAYS[name])
    for dtype in ("i1", "i2", "u2", "u4", "u8"):
        info = numpy.iinfo(dtype)
        files[f"npy {dtype}"] = npy(numpy.array([info.min, info.max, 1], dtype=dtype))
    files["npy version 2"] = npy(MATRIX, (2, 0))
    files["npy version 3"] = npy(MATRIX, (3, 0))
    files["npy fortran"] = npy(numpy.asfortranarray(MATRIX))
    files["npy big-endian"] = npy(MATRIX.astype(">f4"))
    out = {
        "generator": "tools/goldens/array_files.py",
        "versions": {"numpy": numpy.__version__, "safetensors": safetensors.__version__},
        "seed": None,
        "sha256": hashlib.sha256(b"".join(files.values())).hexdigest(),
        "tolerance": "none: bytes are equal",
        "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }
    pathlib.Path(path).write_text(json.dumps(out, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
