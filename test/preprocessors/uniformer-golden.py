"""
Records UniFormer under UPerNet with made-up weights: `uniformer.safetensors`.

    git clone https://github.com/Mikubill/sd-webui-controlnet
    python uniformer-golden.py sd-webui-controlnet fixtures/annotators/uniformer.safetensors

The network is narrow; its topology and names are those of the published file. mmcv's ConvModule is written out here.
"""

import re
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

webui, out = sys.argv[1:3]
torch.manual_seed(20)


class ConvModule(nn.Module):
    def __init__(self, inputs, outputs, kernel, padding=0, **_):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Registry:
    def register_module(self, *_):
        return lambda cls: cls


class BaseDecodeHead(nn.Module):
    def __init__(self, in_channels, in_index, channels, num_classes, align_corners=False, **_):
        super().__init__()
        self.in_channels, self.in_index, self.channels, self.align_corners = in_channels, in_index, channels, align_corners
        self.conv_cfg = self.norm_cfg = self.act_cfg = None
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def _transform_inputs(self, inputs):
        return [inputs[i] for i in self.in_index]

    def cls_seg(self, x):
        return self.conv_seg(x)


class DropPath(nn.Identity):
    def __init__(self, *_):
        super().__init__()


names = dict(torch=torch, nn=nn, F=F, ConvModule=ConvModule, HEADS=Registry(), BACKBONES=Registry(),
             BaseDecodeHead=BaseDecodeHead, resize=F.interpolate, DropPath=DropPath,
             to_2tuple=lambda v: (v, v), trunc_normal_=nn.init.trunc_normal_)


def run(path):
    text = open(f"{webui}/{path}").read()
    text = re.sub(r"^try:\n(?:    .*\n)+except ImportError:\n(?:    .*\n)+", "", text, flags=re.M)
    text = re.sub(r"^from (?:\.|timm|annotator).*$", "", text, flags=re.M)
    exec(compile(text, path, "exec"), names)


run("annotator/uniformer/uniformer.py")
run("annotator/mmpkg/mmseg/models/decode_heads/psp_head.py")
run("annotator/mmpkg/mmseg/models/decode_heads/uper_head.py")
widths = [8, 16, 64, 128]
network = nn.Module()
network.backbone = names["UniFormer"](embed_dim=widths, layers=[1, 2, 2, 1], head_dim=64)
network.decode_head = names["UPerHead"](in_channels=widths, in_index=[0, 1, 2, 3], channels=12, num_classes=150)
network.eval()
with torch.no_grad():
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if value.dtype != torch.float32:
            continue
        fan = max(1, value[0].numel()) if value.dim() > 1 else 1
        value.copy_(torch.randn_like(value) * (1 / fan**0.5 if value.dim() > 1 else 0.2))
        if re.search(r"(norm\d?|bn)\.weight$", name):
            value.add_(1)
        if name.endswith("running_var"):
            value.copy_(value.abs() + 0.6)
        value.copy_(value.half().float())
tensors = {f"weights.{k}": v.half() for k, v in network.state_dict().items() if v.dtype == torch.float32}
blocks = np.random.default_rng(4).integers(0, 256, (16, 20, 3), dtype=np.uint8)
tensors["blocks"] = torch.from_numpy(blocks)
mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
palette = open(f"{webui}/annotator/mmpkg/mmseg/core/evaluation/class_names.py").read()
exec(palette[palette.index("def ade_palette"):palette.index("def voc_palette")], names)


def scores_of(picture):
    x = ((torch.from_numpy(picture[..., ::-1].copy()).float() - mean) / std).permute(2, 0, 1)[None]
    return network.decode_head(network.backbone(x))


with torch.no_grad():
    odd = blocks.repeat(6, 0).repeat(4, 1)[:90, :75]
    tensors["odd"] = scores_of(np.ascontiguousarray(odd))[:, ::9].contiguous()
    # As large as the network looks at it, so that nothing is resized before.
    whole = blocks.repeat(32, 0).repeat(32, 1)
    scores = F.interpolate(scores_of(whole), size=whole.shape[:2], mode="bilinear", align_corners=False)
    labels = F.softmax(scores, dim=1).argmax(dim=1)[0].numpy()
    print(len(np.unique(labels)), "classes")
    tensors["colours"] = torch.from_numpy(np.array(names["ade_palette"](), dtype=np.uint8)[labels][::8, ::8].copy())
save_file(tensors, out)
