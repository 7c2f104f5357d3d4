"""
Records GFPGAN, RestoreFormer, ParseNet and facexlib's pasting along a face's outline: `fixtures/faces/restorers.safetensors`.

    git clone https://github.com/chaiNNer-org/spandrel
    git clone https://github.com/xinntao/facexlib
    python restorers-golden.py spandrel facexlib fixtures/faces

The networks are narrow, with weights by a rule that `test/generated-weights.ts` has too.
"""

import ast
import importlib.util
import json
import sys
import types

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

spandrel, facexlib, out = sys.argv[1:4]
tensors = {}


def keep(name, value):
    value = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
    tensors[name] = value.detach().clone().contiguous()


def module(name, **values):
    made = types.ModuleType(name)
    made.__path__ = []
    made.__dict__.update(values)
    sys.modules[name] = made


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def fraction(index):
    x = (index * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2**32


def rule(name, value):
    """Centre and half width: about 1 for norms and the scales of styles, else with a variance that the layers keep."""
    if "noises." in name:
        return 0.0, 1.7
    if name.endswith("modulation.bias") or (name.endswith("weight") and value.dim() == 1):
        return 1.0, 0.3
    if name.endswith("running_var"):
        return 1.0, 0.5
    fan = value[0].numel() if value.dim() > 1 else 1
    if value.dim() == 5:
        fan = value[0, 0].numel()
    return 0.0, (3 / max(1, fan)) ** 0.5 if value.dim() > 1 and fan > 1 else 0.1


def fill(network, path):
    rows, offset = [], 0
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            center, half = rule(name, value)
            index = np.arange(value.numel(), dtype=np.uint64) + np.uint64(offset)
            values = center + half * (2 * fraction(index & np.uint64(0xFFFFFFFF)) - 1)
            value.copy_(torch.from_numpy(values.astype(np.float32)).reshape(value.shape))
            rows.append([name, list(value.shape), offset, center, half])
            offset += value.numel()
    with open(f"{out}/{path}", "w") as file:
        json.dump({"first_values": {}, "tensors": rows}, file)
    return network.eval()


def wave(*shape, step):
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float32) * step).reshape(shape)


module("spandrel")
module("spandrel.util", store_hyperparameters=lambda: lambda cls: cls)
base = f"{spandrel}/libs/spandrel/spandrel/architectures"
module("arch")
load("arch.stylegan2_clean_arch", f"{base}/GFPGAN/__arch/stylegan2_clean_arch.py")
gfpgan = load("arch.gfpganv1_clean_arch", f"{base}/GFPGAN/__arch/gfpganv1_clean_arch.py")
restoreformer = load("arch.restoreformer_arch", f"{base}/RestoreFormer/__arch/restoreformer_arch.py")

x = wave(1, 3, 32, 32, step=0.13)
keep("x", x)
with torch.no_grad():
    for name, options in {
        "gfpgan": dict(different_w=True, sft_half=True),
        "gfpgan-whole": dict(different_w=False, sft_half=False),
    }.items():
        made = gfpgan.GFPGANv1Clean(
            out_size=32, num_style_feat=16, num_mlp=1, input_is_latent=True, narrow=1 / 64, **options
        )
        keep(name, fill(made, f"{name}.json")(x, return_rgb=False, randomize_noise=False)[0])
    made = restoreformer.RestoreFormer(
        n_embed=24, embed_dim=16, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,), resolution=32,
        z_channels=16, head_size=8,
    )
    keep("restoreformer", fill(made, "restoreformer.json")(x)[0])

    parsenet = load("parsenet", f"{facexlib}/facexlib/parsing/parsenet.py")
    made = parsenet.ParseNet(in_size=32, out_size=32, min_feat_size=8, base_ch=8, res_depth=2, ch_range=[8, 16])
    keep("parsenet", fill(made, "parsenet.json")(x)[0])

# facexlib's pasting alone: its module imports the detector, which is not needed.
source = open(f"{facexlib}/facexlib/utils/face_restoration_helper.py").read()
helper_class = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
space = {"cv2": cv2, "np": np, "torch": torch}


def img2tensor(img, bgr2rgb, float32):
    return torch.from_numpy(img[:, :, ::-1].transpose(2, 0, 1).copy())


def normalize(tensor, mean, std, inplace):
    tensor.sub_(torch.tensor(mean).view(-1, 1, 1)).div_(torch.tensor(std).view(-1, 1, 1))


space.update(img2tensor=img2tensor, normalize=normalize)
exec(compile(ast.Module([helper_class], []), "helper", "exec"), space)
FaceRestoreHelper = space["FaceRestoreHelper"]

rows_, columns = np.mgrid[0:160, 0:240]
image = np.stack(
    [
        127 + 120 * np.sin(rows_ / 9.0) * np.cos(columns / 11.0),
        255 * ((rows_ // 12 + columns // 12) % 2),
        255 * columns / 239,
    ],
    axis=2,
).astype(np.uint8)
# What a network might say: 32 x 32 fields about the middle, each with a class of its own.
y, x_ = np.mgrid[0:32, 0:32]
grid = ((np.hypot(y - 15, x_ - 16) // 2 + (np.arctan2(y - 15, x_ - 16) // 1.6)) % 19).astype(np.int64)
keep("outline.grid", grid.astype(np.uint8))
regions = grid.repeat(16, 0).repeat(16, 1)
said = torch.nn.functional.one_hot(torch.from_numpy(regions), 19).permute(2, 0, 1)[None].float()

for side in (64, 512):
    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)
    helper.use_parse = True
    helper.upscale_factor = 1
    helper.face_size = (side, side)
    helper.device = "cpu"
    helper.face_parse = lambda given: (said, None)
    helper.input_img = image[:, :, ::-1].copy()
    scale = side / 64
    affine = np.array([[0.52, 0.11, -14.5], [-0.11, 0.52, 9.25]]) * scale
    keep(f"outline.{side}.matrix", affine.astype(np.float64))
    face = cv2.warpAffine(helper.input_img, affine, (side, side), borderValue=(135, 133, 132))
    helper.restored_faces = [255 - face]
    helper.inverse_affine_matrices = []
    helper.affine_matrices = [affine]
    helper.get_inverse_affine(None)
    keep(f"outline.{side}.pasted", helper.paste_faces_to_input_image()[:, :, ::-1].copy())

save_file(tensors, f"{out}/restorers.safetensors")
print(sum(value.numel() * value.element_size() for value in tensors.values()), "bytes")
