"""A whole picture with OpenVINO in bfloat16, from networks converted beforehand (openvino_cpu.py): text encoder, UNet at every step, decoder.

python bench/peers/openvino_picture.py --file CHECKPOINT.safetensors --cache FOLDER --size 512 --steps 20 --threads 2

Prints one line of JSON as the other sides do: `load` is the time to read and compile the three networks, `runs` has one entry, the rest of the
picture. The sampler's own arithmetic is left out, which is nothing beside the networks, and so is writing the file.
"""

import argparse
import os
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--file", required=True)
parser.add_argument("--cache", required=True)
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()

folder = os.path.dirname(os.path.abspath(__file__))
paths = {part: os.path.join(args.cache, f"{part}-{args.size}-{os.path.basename(args.file)}.xml") for part in ("text", "unet", "vae")}
for part, path in paths.items():
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(folder, "openvino_cpu.py"), "--part", part, "--file", args.file, "--cache", args.cache,
                        "--size", str(args.size), "--convert"], check=True, stdout=sys.stderr)

start = time.perf_counter()
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402

core = ov.Core()
settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
networks = {part: core.compile_model(core.read_model(path), "CPU", settings).create_infer_request() for part, path in paths.items()}
load = time.perf_counter() - start

ids = np.full((2, 77), 49407, dtype=np.int64)
ids[:, 0] = 49406
begun, cpu = time.perf_counter(), time.process_time()
context = networks["text"].infer([ids])[0]
latent = np.sin(np.arange(4 * (args.size // 8) ** 2) * 12.9898).astype(np.float32).reshape(1, 4, args.size // 8, args.size // 8)
for step in range(args.steps):
    given = [np.repeat(latent, 2, axis=0), np.full(2, 999.0 - step, dtype=np.float32), context]
    without, guided = networks["unet"].infer(given)[0]
    latent = latent - 0.02 * (without + 7.5 * (guided - without))[None]
output = networks["vae"].infer([latent])[0]
run, cpu = time.perf_counter() - begun, time.process_time() - cpu

import torch  # noqa: E402

import sd_v1  # noqa: E402

sd_v1.report({"side": "OpenVINO bf16, a picture", "load": load, "runs": [run], "cpu": [cpu]}, torch.from_numpy(output))
