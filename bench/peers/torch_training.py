"""Training steps in PyTorch, float32, eager: the same networks, losses and optimisers as bench/training.ts.

Usage: torch_training.py autoencoder|unet THREADS BATCH SIDE CONFIG_JSON   (ddconfig with embed_dim, or LDM's UNet parameters).
Makes one step for each line on stdin and answers it with a line of JSON; the first line says how many parameters there are.
The UNet is diffusers' UNet2DConditionModel, with PyTorch's fused attention.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class ResnetBlock(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, c, eps=1e-6), nn.Conv2d(c, out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(32, out, eps=1e-6), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Identity() if c == out else nn.Conv2d(c, out, 1)

    def forward(self, x):
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class AttnBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        b, c, h, w = x.shape
        n = self.norm(x)
        q, k, v = (f(n).reshape(b, 1, c, h * w).transpose(2, 3) for f in (self.q, self.k, self.v))
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, c, h, w))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0))


def middle(c):
    return [ResnetBlock(c, c), AttnBlock(c), ResnetBlock(c, c)]


def end(c, out):
    return [nn.GroupNorm(32, c, eps=1e-6), nn.SiLU(), nn.Conv2d(c, out, 3, padding=1)]


def autoencoder(cfg):
    ch, mult, blocks = cfg["ch"], cfg["ch_mult"], cfg["num_res_blocks"]
    layers, c = [nn.Conv2d(3, ch, 3, padding=1)], ch
    for level, m in enumerate(mult):
        for _ in range(blocks):
            layers.append(ResnetBlock(c, ch * m))
            c = ch * m
        if level < len(mult) - 1:
            layers.append(Down(c))
    z = cfg["z_channels"]
    encoder = nn.Sequential(*layers, *middle(c), *end(c, 2 * z), nn.Conv2d(2 * z, 2 * cfg["embed_dim"], 1))
    layers = [nn.Conv2d(cfg["embed_dim"], z, 1), nn.Conv2d(z, c, 3, padding=1), *middle(c)]
    for level, m in reversed(list(enumerate(mult))):
        for _ in range(blocks + 1):
            layers.append(ResnetBlock(c, ch * m))
            c = ch * m
        if level > 0:
            layers.append(Up(c))
    return encoder, nn.Sequential(*layers, *end(c, 3))


def multiscale(x, y):
    d, terms = y - x, []
    for scale in range(3):
        if scale:
            d = F.avg_pool2d(d, 2)
        terms += [d.abs().mean(), (d[:, :, 1:] - d[:, :, :-1]).abs().mean(), (d[..., 1:] - d[..., :-1]).abs().mean(), (d - d.mean(1, keepdim=True)).abs().mean()]
    return sum(terms) / 3


def autoencoder_step(cfg, batch, side):
    encoder, decoder = autoencoder(cfg)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.9))
    x = torch.rand(batch, 3, side, side) * 2 - 1

    def step():
        mean, logvar = encoder(x).chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        y = decoder(mean + torch.exp(0.5 * logvar) * torch.randn_like(mean))
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum() / batch
        loss = multiscale(x, y) + 1e-6 * kl
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return parameters, step


def unet_step(cfg, batch, side):
    from diffusers import UNet2DConditionModel

    mult = cfg["channel_mult"]
    attends = [2**level in cfg["attention_resolutions"] for level in range(len(mult))]
    unet = UNet2DConditionModel(
        in_channels=cfg["in_channels"], out_channels=cfg["out_channels"], layers_per_block=cfg["num_res_blocks"],
        block_out_channels=tuple(cfg["model_channels"] * m for m in mult),
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        cross_attention_dim=cfg["context_dim"], attention_head_dim=cfg["num_heads"],
    )
    parameters = list(unet.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)
    x, noise = torch.randn(batch, 4, side, side), torch.randn(batch, 4, side, side)
    context = torch.randn(batch, 77, cfg["context_dim"])

    def step():
        loss = F.mse_loss(unet(x, torch.randint(0, 1000, (batch,)), context).sample, noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return parameters, step


def main():
    threads, batch, side = map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    made = {"autoencoder": autoencoder_step, "unet": unet_step}[sys.argv[1]]
    parameters, step = made(json.loads(sys.argv[5]), batch, side)
    print(json.dumps({"parameters": sum(p.numel() for p in parameters), "version": torch.__version__}), flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        step()
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


if __name__ == "__main__":
    main()
