"""
Records spherical interpolation as mergekit does it (mergekit/merge_methods/slerp.py): `fixtures/merging/slerp.json`.

    python slerp-golden.py fixtures/merging/slerp.json
"""

import json
import sys

import numpy as np

LINE = 0.9995


def unit(v, epsilon=1e-8):
    length = np.linalg.norm(v)
    return v / length if length > epsilon else v


def slerp(t, a, b):
    dot = np.sum(unit(a) * unit(b))
    if abs(dot) > LINE:
        return (1 - t) * a + t * b
    angle = np.arccos(dot)
    return np.sin(angle - angle * t) / np.sin(angle) * a + np.sin(angle * t) / np.sin(angle) * b


rng = np.random.default_rng(2)
cases = []
for i in range(24):
    count = int(rng.integers(1, 7))
    a, b = (rng.normal(size=count).astype(np.float32).astype(np.float64) for _ in range(2))
    if i % 6 == 0:
        b = (a * rng.uniform(0.5, 2) + 1e-4 * b).astype(np.float32).astype(np.float64)
    if i % 8 == 1:
        b = np.zeros_like(b)
    t = round(float(rng.uniform(-0.2, 1.2)), 3)
    cases.append([t, *([round(x, 8) for x in v.tolist()] for v in (a, b, slerp(t, a, b)))])
json.dump(cases, open(sys.argv[1], "w"))
