"""
Records FreeU's filter as diffusers has it (`diffusers.utils.torch_utils.fourier_filter`, `apply_freeu`): `fixtures/networks/free-u.json`.

    python free-u-golden.py fixtures/networks/free-u.json
"""

import json
import sys

import numpy as np
import torch
from diffusers.utils.torch_utils import fourier_filter

rng = np.random.default_rng(5)
cases = []
for i in range(30):
    h, w = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    if i < 3:
        h, w = [(1, 1), (1, 6), (5, 1)][i]
    scale = round(float(rng.uniform(0, 1.6)), 3)
    x = torch.from_numpy(rng.normal(size=(1, 2, h, w)).astype(np.float32))
    out = fourier_filter(x, threshold=1, scale=scale)
    cases.append([h, w, scale, *([round(v, 7) for v in t.flatten().tolist()] for t in (x, out))])
json.dump(cases, open(sys.argv[1], "w"))
