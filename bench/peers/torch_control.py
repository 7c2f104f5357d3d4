"""A step of Stable Diffusion v1's UNet alone and under one ControlNet in PyTorch/diffusers, float32, two images. For bench/control-step.ts.

Weights are random: times do not depend on them. Prints one line of JSON: median seconds, and the median of the rounds' ratios.
"""

import argparse
import json
import statistics
import time

import torch
from diffusers import ControlNetModel, UNet2DConditionModel

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
given = parser.parse_args()
torch.set_num_threads(given.threads)
torch.manual_seed(1)

unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).eval()
control = ControlNetModel.from_unet(unet).eval()
side = given.size // 8
x = torch.randn(2, 4, side, side)
t = torch.tensor([500, 500])
context = torch.randn(2, 77, 768)
hint = torch.rand(2, 3, given.size, given.size)


@torch.inference_mode()
def plain():
    unet(x, t, context)


@torch.inference_mode()
def controlled():
    down, middle = control(x, t, context, controlnet_cond=hint, return_dict=False)
    unet(x, t, context, down_block_additional_residuals=down, mid_block_additional_residual=middle)


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


plain()
controlled()
pairs = [(timed(plain), timed(controlled)) for _ in range(given.rounds)]
print(
    json.dumps(
        {
            "plain": statistics.median(a for a, _ in pairs),
            "controlled": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(b / a for a, b in pairs),
        }
    )
)
