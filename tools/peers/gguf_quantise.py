"""Blocks of GGUF's types for fixed numbers, by the Python package gguf: writes fixtures/families/gguf/quantised.json.

    pip install gguf numpy && python tools/peers/gguf_quantise.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, quants

SIZE = 32 * 4096
state = np.uint32(1)
values = np.empty(SIZE, dtype=np.float32)
with np.errstate(over="ignore"):
    for i in range(SIZE):
        # Numerical Recipes' generator; every eighth block is coarse, so that ties and zeros occur.
        state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
        value = np.float32(np.int32(state >> np.uint32(8)) - 2**23) / np.float32(2**21)
        block = i // 32
        values[i] = np.round(value) if block % 8 == 0 else 0 if block % 8 == 1 and block % 16 == 1 else value * np.float32(2.0) ** (block % 24 - 16)
out = {
    name: hashlib.sha256(quants.quantize(values.reshape(-1, 32), GGMLQuantizationType[name.upper()]).tobytes()).hexdigest()
    for name in ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"]
}
out["values"] = hashlib.sha256(values.tobytes()).hexdigest()
path = Path(__file__).parents[2] / "fixtures/families/gguf/quantised.json"
path.write_text(json.dumps(out, indent=2) + "\n")
