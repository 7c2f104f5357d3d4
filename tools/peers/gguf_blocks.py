"""Reading GGUF's blocks, by the Python package gguf: writes src/formats/gguf-codebooks.ts (the vectors that the I types' numbers stand for) and
fixtures/families/gguf/blocks.json (digests of the values of fixed blocks of every type).

    pip install gguf numpy && python tools/peers/gguf_blocks.py
"""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, quants
from gguf.constants import GGML_QUANT_SIZES

root = Path(__file__).parents[2]
BLOCKS = 512
# Bytes of a block with the exponents of its scales. Their second highest bit is cleared, so that all values are finite.
EXPONENTS = {
    "Q4_0": [1], "Q4_1": [1, 3], "Q5_0": [1], "Q5_1": [1, 3], "Q8_0": [1], "Q2_K": [81, 83], "Q3_K": [109], "Q4_K": [1, 3], "Q5_K": [1, 3],
    "Q6_K": [209], "IQ2_XXS": [1], "IQ2_XS": [1], "IQ2_S": [1], "IQ3_XXS": [1], "IQ3_S": [1], "IQ1_S": [1], "IQ1_M": [55], "IQ4_NL": [1],
    "IQ4_XS": [1], "TQ1_0": [53], "TQ2_0": [65], "MXFP4": [0],
}  # fmt: skip


def numbers(count):
    """The high bytes of Numerical Recipes' generator."""
    out = np.empty(count, dtype=np.uint8)
    state = 1
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = state >> 24
    return out


digests = {}
for name, exponents in EXPONENTS.items():
    kind = GGMLQuantizationType[name]
    size, bytes_ = GGML_QUANT_SIZES[kind]
    blocks = numbers(BLOCKS * bytes_).reshape(BLOCKS, bytes_)
    for at in exponents:
        blocks[:, at] &= 0xBF
    values = quants.dequantize(blocks, kind).astype(np.float32)
    assert values.size == BLOCKS * size and np.isfinite(values).all()
    digests[name] = {"exponents": exponents, "sha256": hashlib.sha256(values.tobytes()).hexdigest()}
rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in digests.items())
(root / "fixtures/families/gguf/blocks.json").write_text("{\n" + rows + "\n}\n")

books = []
for name, kind in {"iq2xxs": quants.IQ2_XXS, "iq2xs": quants.IQ2_XS, "iq2s": quants.IQ2_S, "iq3xxs": quants.IQ3_XXS, "iq3s": quants.IQ3_S, "iq1": quants.IQ1_S}.items():
    packed = base64.b64encode(bytes.fromhex(kind.grid_hex.decode())).decode()
    # IQ3's have 8 levels, in 4 bits each; the others 3, in 2 bits.
    bits = 4 if len(kind.grid_map) > 4 else 2
    levels = ", ".join(str(int(level)) for level in kind.grid_map)
    books.append(f"  {name}: {{\n    width: {kind.grid_shape[1]},\n    bits: {bits},\n    levels: [{levels}],\n    packed:\n      '{packed}',\n  }},")
(root / "src/formats/gguf-codebooks.ts").write_text(
    """/**
 * The vectors that the indices of GGUF's I types stand for, made by tools/peers/gguf_blocks.py from the Python package gguf of
 * https://github.com/ggml-org/llama.cpp. MIT License, Copyright (c) 2023-2026 The ggml authors.
 */

export interface Codebook {
  /** Elements of a vector. */
  readonly width: 4 | 8;
  /** Bits of an element in `packed`. */
  readonly bits: 2 | 4;
  /** What an element's number stands for. */
  readonly levels: readonly number[];
  /** All elements in order, the first in the lowest bits; base64. */
  readonly packed: string;
}

export const codebooks = {
"""
    + "\n".join(books)
    + "\n} as const satisfies Readonly<Record<string, Codebook>>;\n"
)
