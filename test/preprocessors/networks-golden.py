"""
Records PiDiNet and Depth Anything V2 with made-up weights: `networks.safetensors`.

    git clone https://github.com/Mikubill/sd-webui-controlnet
    git clone https://github.com/DepthAnything/Depth-Anything-V2
    python networks-golden.py sd-webui-controlnet Depth-Anything-V2 fixtures/annotators/networks.safetensors

The networks are narrow; their topology and names are those of the published files. The detectors' resizing and scaling to levels are theirs.
"""

import sys
import types

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

webui, depth_anything, out = sys.argv[1:4]

# What the originals import besides, and do not use here.
modules = types.ModuleType("modules")
modules.devices = types.SimpleNamespace(get_device_for=lambda _: "cpu")
sys.modules["modules"] = modules
transforms = types.ModuleType("torchvision.transforms")


class Compose:
    def __init__(self, parts):
        self.parts = parts

    def __call__(self, value):
        for part in self.parts:
            value = part(value)
        return value


transforms.Compose = Compose
sys.modules["torchvision"] = types.ModuleType("torchvision")
sys.modules["torchvision.transforms"] = transforms

torch.manual_seed(7)
tensors = {}


def keep(name, value):
    tensors[name] = value.detach().clone().contiguous()


def fill(network, prefix):
    """Weights about as large as trained ones, so that every layer counts."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
            parameter.copy_(torch.randn_like(parameter) * (1.2 / fan**0.5 if parameter.dim() > 1 else 0.3))
            if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "gamma")):
                parameter.add_(1)
    network.eval()
    for name, value in network.state_dict().items():
        keep(f"{prefix}.{name}", value)


rows, columns = np.mgrid[0:40, 0:56]
image = np.stack(
    [
        127 + 120 * np.sin(rows / 5.0) * np.cos(columns / 7.0),
        255 * ((rows // 8 + columns // 8) % 2),
        255 * columns / 55,
    ],
    axis=2,
).astype(np.uint8)
tensors["image"] = torch.from_numpy(image)

sys.path.insert(0, f"{webui}/annotator/pidinet")
import model as pidi  # noqa: E402

network = pidi.PiDiNet(8, pidi.config_model("carv4"), dil=4, sa=True)
fill(network, "pidinet.module")
with torch.no_grad():
    x = torch.from_numpy(image[:, :, ::-1].copy()).float().permute(2, 0, 1)[None] / 255.0
    edge = network(x)[-1]
keep("pidinet.out.edge", edge)
tensors["pidinet.out.map"] = torch.from_numpy((edge.numpy() * 255.0).clip(0, 255).astype(np.uint8)[0][0].copy())

sys.path.insert(0, depth_anything)
from depth_anything_v2.dinov2 import DinoVisionTransformer  # noqa: E402
from depth_anything_v2.dpt import DPTHead  # noqa: E402
from depth_anything_v2.util.transform import NormalizeImage, PrepareForNet, Resize  # noqa: E402


class Depth(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pretrained = DinoVisionTransformer(
            img_size=70, patch_size=14, embed_dim=8, depth=8, num_heads=2, mlp_ratio=4, init_values=1.0, block_chunks=0
        )
        self.depth_head = DPTHead(8, 8, False, out_channels=[4, 6, 8, 10], use_clstoken=False)

    def forward(self, x, blocks):
        patches = x.shape[-2] // 14, x.shape[-1] // 14
        features = self.pretrained.get_intermediate_layers(x, blocks, return_class_token=True)
        return F.relu(self.depth_head(features, *patches)).squeeze(1)


network = Depth()
fill(network, "depth")
for side, name in ((70, "square"), (42, "other")):
    x = torch.randn(1, 3, side, 70 if side == 70 else 84, generator=torch.Generator().manual_seed(side))
    keep(f"depth.in.{name}", x)
    with torch.no_grad():
        keep(f"depth.out.{name}.first", network(x, 4))
        keep(f"depth.out.{name}.second", network(x, [1, 3, 5, 7]))

resize = Resize(
    width=518,
    height=518,
    resize_target=False,
    keep_aspect_ratio=True,
    ensure_multiple_of=14,
    resize_method="lower_bound",
    image_interpolation_method=cv2.INTER_CUBIC,
)
prepare = Compose([resize, NormalizeImage([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), PrepareForNet()])
seen = prepare({"image": cv2.cvtColor(image, cv2.COLOR_BGR2RGB) / 255.0})["image"]
tensors["detector.seen.every16th"] = torch.from_numpy(seen[:, ::16, ::16].copy())
# In place of a network: a depth that is any function of what it sees.
depth = torch.from_numpy(seen[0] - 0.5 * seen[2])[None]
depth = F.interpolate(depth[None], image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
depth = (depth - depth.min()) / (depth.max() - depth.min()) * 255.0
tensors["detector.map"] = torch.from_numpy(depth.numpy().astype(np.uint8))

save_file(tensors, out)
print(sum(value.numel() * value.element_size() for value in tensors.values()), "bytes")
