"""One side of the benchmarks: PyTorch with diffusers or transformers on the CPU, in float32; SDXL's UNet in bfloat16 too.

python bench/peers/torch_diffusers.py --part unet|vae|text --file CHECKPOINT.safetensors --size 512 --runs 3 --threads 2 [--model v1|xl] \
    [--precision f32|bf16]
"""

import argparse
import importlib
import time

parser = argparse.ArgumentParser()
parser.add_argument("--part", required=True)
parser.add_argument("--file", required=True)
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--model", choices=["v1", "xl"], default="v1")
parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
parser.add_argument("--channels-last", action="store_true")
args = parser.parse_args()

import torch  # noqa: E402

networks = importlib.import_module(f"sd_{args.model}")

torch.set_num_threads(args.threads)
torch.set_grad_enabled(False)
result = {"side": f"PyTorch/diffusers {args.precision}", "version": f"torch {torch.__version__}"}
with networks.timed(result, "load"):
    model = networks.load(args.part, args.file, *([torch.bfloat16] if args.precision == "bf16" else []))
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
given = networks.inputs(args.part, args.size)
run = networks.function(args.part, model)
result["runs"], result["cpu"] = [], []
for _ in range(args.runs):
    start, cpu = time.perf_counter(), time.process_time()
    output = run(**given)
    result["runs"].append(time.perf_counter() - start)
    result["cpu"].append(time.process_time() - cpu)
networks.report(result, output)
