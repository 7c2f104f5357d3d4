"""One side of the benchmarks: OpenVINO on the CPU, in float32, bfloat16 or int8.

python bench/peers/openvino_cpu.py --part unet|vae|text --file CHECKPOINT.safetensors --cache FOLDER --size 512 --runs 3 --threads 2 \
    --precision f32|bf16|int8 [--model v1|xl]

The network is converted from PyTorch once, with fixed sizes (OpenVINO's fastest form), and kept in the cache folder; `load` is the time to
read and compile the converted network. The conversion itself is reported as `convert`. int8 is NNCF's W8A8, calibrated on the inputs of the
benchmark, with bfloat16 for the rest. SDXL's UNet is converted in the file's float16, which takes 13 GB of memory, and kept so.
"""

import argparse
import importlib
import os
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--part", required=True)
parser.add_argument("--file", required=True)
parser.add_argument("--cache", required=True)
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--precision", choices=["f32", "bf16", "int8"], default="f32")
parser.add_argument("--model", choices=["v1", "xl"], default="v1")
parser.add_argument("--convert", action="store_true", help="convert only")
args = parser.parse_args()

import openvino as ov  # noqa: E402

plain = os.path.join(args.cache, f"{args.part}-{args.size}-{os.path.basename(args.file)}.xml")
converted = plain.replace(".xml", "-int8.xml") if args.precision == "int8" else plain


def convert():
    import torch

    networks = importlib.import_module(f"sd_{args.model}")
    model = networks.load(args.part, args.file, *([torch.float16] if args.model == "xl" else []))
    if args.model == "xl":
        from openvino.frontend.pytorch.patch_model import __make_16bit_traceable as make_traceable

        make_traceable(model)
    given = networks.inputs(args.part, args.size)
    run = networks.function(args.part, model)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *values):
            return run(*values)

    with torch.no_grad():
        network = ov.convert_model(Network(), example_input=tuple(given.values()), input=[tuple(value.shape) for value in given.values()])
    os.makedirs(args.cache, exist_ok=True)
    ov.save_model(network, plain, compress_to_fp16=args.model == "xl")


def quantise():
    import nncf

    networks = importlib.import_module(f"sd_{args.model}")

    given = [value.numpy() for value in networks.inputs(args.part, args.size).values()]
    dataset = nncf.Dataset([given])
    model_type = nncf.ModelType.TRANSFORMER if args.part != "vae" else None
    network = nncf.quantize(ov.Core().read_model(plain), dataset, subset_size=1, model_type=model_type)
    ov.save_model(network, converted, compress_to_fp16=False)


if args.convert:
    if not os.path.exists(plain):
        convert()
    if args.precision == "int8":
        quantise()
    sys.exit()

result = {"side": f"OpenVINO {args.precision}", "version": f"openvino {ov.__version__.split('-')[0]}"}
if not os.path.exists(converted):
    # In a process of its own, so that its memory is not counted.
    start = time.perf_counter()
    subprocess.run([sys.executable, *sys.argv, "--convert"], check=True, stdout=sys.stderr)
    result["convert"] = time.perf_counter() - start

start = time.perf_counter()
core = ov.Core()
compiled = core.compile_model(core.read_model(converted), "CPU", {
    "INFERENCE_PRECISION_HINT": "f32" if args.precision == "f32" else "bf16", "INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY", "EXECUTION_MODE_HINT": "ACCURACY" if args.precision == "f32" else "PERFORMANCE", "ENABLE_CPU_PINNING": False,
})
result["load"] = time.perf_counter() - start

import torch  # noqa: E402

networks = importlib.import_module(f"sd_{args.model}")

given = [value.numpy() for value in networks.inputs(args.part, args.size).values()]
request = compiled.create_infer_request()
result["runs"], result["cpu"] = [], []
for _ in range(args.runs):
    start, cpu = time.perf_counter(), time.process_time()
    output = request.infer(given)[0]
    result["runs"].append(time.perf_counter() - start)
    result["cpu"].append(time.process_time() - cpu)
networks.report(result, torch.from_numpy(output))
