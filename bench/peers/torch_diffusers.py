"""One side of the benchmarks: PyTorch with diffusers or transformers, float32, on the CPU.

python bench/peers/torch_diffusers.py --part unet|vae|text --file CHECKPOINT.safetensors --size 512 --runs 3 --threads 2
"""

import argparse
import time

parser = argparse.ArgumentParser()
parser.add_argument("--part", required=True)
parser.add_argument("--file", required=True)
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--channels-last", action="store_true")
args = parser.parse_args()

import torch  # noqa: E402

import sd_v1  # noqa: E402

torch.set_num_threads(args.threads)
torch.set_grad_enabled(False)
result = {"side": "PyTorch/diffusers", "version": f"torch {torch.__version__}"}
with sd_v1.timed(result, "load"):
    model = sd_v1.load(args.part, args.file)
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
given = sd_v1.inputs(args.part, args.size)
run = sd_v1.function(args.part, model)
result["runs"], result["cpu"] = [], []
for _ in range(args.runs):
    start, cpu = time.perf_counter(), time.process_time()
    output = run(**given)
    result["runs"].append(time.perf_counter() - start)
    result["cpu"].append(time.process_time() - cpu)
sd_v1.report(result, output)
