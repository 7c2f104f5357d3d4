"""
Records tomesd's merging (`bipartite_soft_matching_random2d` without random places): `fixtures/networks/token-merging.json`.

    git clone https://github.com/dbolya/tomesd
    python token-merging-golden.py tomesd/tomesd/merge.py fixtures/networks/token-merging.json
"""

import json
import sys

import numpy as np
import torch

names = {}
exec(compile(open(sys.argv[1]).read(), "merge.py", "exec"), names)
rng = np.random.default_rng(9)
cases = []
while len(cases) < 30:
    h, w = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    sx, sy = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    ratio = round(float(rng.uniform(0.05, 1)), 2)
    r = int(h * w * ratio)
    if sx > w or sy > h or sx * sy == 1 or r == 0:
        continue
    x = torch.from_numpy(rng.normal(size=(1, h * w, 3)).astype(np.float32))
    merge, unmerge = names["bipartite_soft_matching_random2d"](x, w, h, sx, sy, r, no_rand=True)
    out = unmerge(2 * merge(x) + 1)
    cases.append([h, w, sx, sy, r, merge(x).shape[1], *([round(v, 6) for v in t.flatten().tolist()] for t in (x, out))])
json.dump(cases, open(sys.argv[2], "w"))
