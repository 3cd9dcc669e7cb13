#!/usr/bin/env python3
"""Golden bytes of a safetensors file with every dtype that PyTorch and we have arrays for, from the reference implementation.

    python3 tools/goldens/safetensors_dtypes.py packages/core/test/golden/safetensors-dtypes.json

Needs torch and safetensors. `file` is the whole file, `values` what PyTorch reads from it (float32 of the 16-bit floats as bits, since
NaN is among them), `rounded` float32 numbers and the F16 and BF16 files that PyTorch makes of them.
"""
import base64
import hashlib
import json
import pathlib
import sys

import safetensors
import safetensors.torch
import torch

SEED = 5


def bits16(dtype, bits):
    return torch.tensor(bits, dtype=torch.int32).to(torch.int16).view(dtype)


def tensors():
    edges = {
        # zeros, the smallest and largest below normal, the smallest normal, one and its neighbour, the largest, infinities, NaNs with payloads
        "F16": bits16(torch.float16, [0, 0x8000, 1, 0x83FF, 0x400, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0xFD55]),
        "BF16": bits16(torch.bfloat16, [0, 0x8000, 1, 0x807F, 0x80, 0x3F80, 0x3F81, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFA1]).view(3, 4),
        "F32": torch.tensor([[1.5, -0.0], [1e-45, float("inf")]]),
        "F64": torch.tensor(1e300, dtype=torch.float64),
        "BOOL": torch.tensor([True, False, True]),
    }
    for name, dtype in [("8", torch.int8), ("16", torch.int16), ("32", torch.int32), ("64", torch.int64)]:
        edges[f"I{name}"] = torch.tensor([torch.iinfo(dtype).min, -1, torch.iinfo(dtype).max], dtype=dtype)
    for name, dtype in [("8", torch.uint8), ("16", torch.uint16), ("32", torch.uint32), ("64", torch.uint64)]:
        edges[f"U{name}"] = torch.tensor([0, torch.iinfo(dtype).max], dtype=dtype)
    return edges


def float_bits(tensor):
    return (tensor.float().reshape(-1).view(torch.int32).long() & 0xFFFFFFFF).tolist()


def values(tensor):
    return float_bits(tensor) if tensor.dtype in (torch.float16, torch.bfloat16, torch.float32) else [str(x) for x in tensor.reshape(-1).tolist()]


def main(path):
    file = safetensors.torch.save(tensors(), metadata={"format": "pt"})
    loaded = safetensors.torch.load(file)
    generator = torch.Generator().manual_seed(SEED)
    # every exponent, and halfway between two neighbours of each format: rounding to even is then seen
    x = torch.randn(200, generator=generator) * torch.exp2(torch.randint(-26, 15, (200,), generator=generator).float())
    halfway = torch.tensor([1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-25, 3 * 2.0**-25, 65519.0, -65519.0])
    x = torch.cat([x, halfway])
    rounded = {"F16": safetensors.torch.save({"x": x.half()}), "BF16": safetensors.torch.save({"x": x.bfloat16()})}
    files = [file, *rounded.values()]
    out = {
        "generator": "tools/goldens/safetensors_dtypes.py",
        "versions": {"torch": torch.__version__, "safetensors": safetensors.__version__},
        "seed": SEED,
        "sha256": hashlib.sha256(b"".join(files)).hexdigest(),
        "tolerance": "none: bytes are equal",
        "file": base64.b64encode(file).decode(),
        "values": {name: values(tensor) for name, tensor in sorted(loaded.items())},
        "rounded": {
            "x": float_bits(x),
            **{name: base64.b64encode(data).decode() for name, data in rounded.items()},
        },
    }
    pathlib.Path(path).write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
