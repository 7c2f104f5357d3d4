"""Blocks of GGUF's types for fixed numbers, by the Python package gguf, and of the K types and IQ4_NL by ggml's own functions, which the package lacks:
writes fixtures/families/gguf/quantised.json. Needs a C compiler, and src/ggml-quants.c of https://github.com/ggml-org/ggml.

    pip install gguf numpy && python tools/peers/gguf_quantise.py ggml/src/ggml-quants.c
"""

import hashlib
import json
import subprocess
import sys
import tempfile
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

# The functions are taken out of the file, so that nothing else of ggml has to be built.
source = Path(sys.argv[1]).read_text()
HEADS = [
    "static inline int nearest_int",
    "static float make_qx_quants",
    "static float make_q3_quants",
    "static float make_qkx2_quants",
    "static inline void get_scale_min_k4",
    *(f"void quantize_row_q{n}_K_ref" for n in range(2, 7)),
    "static inline int best_index_int8",
    "static void quantize_row_iq4_nl_impl",
    "void quantize_row_iq4_nl_ref(const float * GGML_RESTRICT x, block_iq4_nl",
]
PRELUDE = """
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define GGML_RESTRICT restrict
#define QK_K 256
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define GROUP_MAX_EPS 1e-15f
typedef uint16_t ggml_half;
static ggml_half to_half(float f) { _Float16 v = (_Float16)f; ggml_half bits; memcpy(&bits, &v, 2); return bits; }
static float from_half(ggml_half bits) { _Float16 v; memcpy(&v, &bits, 2); return (float)v; }
#define GGML_FP32_TO_FP16 to_half
#define GGML_FP16_TO_FP32 from_half
typedef struct { uint8_t scales[16]; uint8_t qs[64]; ggml_half d, dmin; } block_q2_K;
typedef struct { uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; ggml_half d; } block_q3_K;
typedef struct { ggml_half d, dmin; uint8_t scales[12]; uint8_t qs[128]; } block_q4_K;
typedef struct { ggml_half d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128]; } block_q5_K;
typedef struct { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; ggml_half d; } block_q6_K;
typedef struct { ggml_half d; uint8_t qs[16]; } block_iq4_nl;
typedef ggml_half ggml_fp16_t;
#define QK4_NL 32
#define GGML_ASSERT assert
static const int8_t kvalues_iq4nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
"""
MAIN = """
int main(void) {
  const long n = %d;
  float *x = malloc(4 * n);
  if (fread(x, 4, n, stdin) != (size_t)n) return 1;
  const size_t bytes = n / %d * sizeof(block_%s);
  void *y = malloc(bytes);
  quantize_row_%s_ref(x, y, n);
  return fwrite(y, 1, bytes, stdout) == bytes ? 0 : 1;
}
"""
# A block of zeros would keep the levels of the one before, or have none that are set.
source = source.replace("scales[ib] = 0;\n            continue;", "scales[ib] = 0;\n            memset(Lb, 0, block_size);\n            continue;")
functions = [source[(at := source.index(head)) : source.index("\n}\n", at) + 3] for head in HEADS]
with tempfile.TemporaryDirectory() as folder:
    for name, size in [*((f"q{n}_K", 256) for n in range(2, 7)), ("iq4_nl", 32)]:
        Path(folder, "k.c").write_text(PRELUDE + "\n".join(functions) + MAIN % (SIZE, size, name, name))
        # Without fused multiply-adds, which some processors have and others have not.
        subprocess.run(["cc", "-O2", "-ffp-contract=off", "-o", "k", "k.c", "-lm"], cwd=folder, check=True)
        blocks = subprocess.run([Path(folder, "k")], input=values.tobytes(), stdout=subprocess.PIPE, check=True).stdout
        out[name] = hashlib.sha256(blocks).hexdigest()
out["values"] = hashlib.sha256(values.tobytes()).hexdigest()
path = Path(__file__).parents[2] / "fixtures/families/gguf/quantised.json"
path.write_text(json.dumps(out, indent=2) + "\n")
