"""
Records CodeFormer, RetinaFace and facexlib's helper: `fixtures/faces/`.

    git clone https://github.com/sczhou/CodeFormer
    git clone https://github.com/xinntao/facexlib
    python faces-golden.py CodeFormer facexlib fixtures/faces

The networks are narrow, with weights by a rule that `test/generated-weights.ts` has too.
"""

import importlib.util
import json
import sys
import types

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

codeformer, facexlib, out = sys.argv[1:4]
tensors = {}


def keep(name, value):
    value = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
    tensors[name] = value.detach().clone().contiguous()


def nms(boxes, scores, threshold):
    """torchvision.ops.nms, whose compiled part needs another torch."""
    order = scores.argsort(descending=True).tolist()
    kept = []
    for i in order:
        a = boxes[i]
        for j in kept:
            b = boxes[j]
            w = (torch.minimum(a[2], b[2]) - torch.maximum(a[0], b[0])).clamp(min=0)
            h = (torch.minimum(a[3], b[3]) - torch.maximum(a[1], b[1])).clamp(min=0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
            if w * h / union > threshold:
                break
        else:
            kept.append(i)
    return torch.tensor(kept)


# Its other operations are not used here.
torch.library.register_fake = lambda *_, **__: lambda function: function
import torchvision  # noqa: E402

torchvision.ops.nms = lambda boxes, scores, iou_threshold: nms(boxes, scores, iou_threshold)


def stub(name, **values):
    module = types.ModuleType(name)
    module.__dict__.update(values)
    sys.modules[name] = module
    return module


class Registry:
    def register(self):
        return lambda value: value


stub("basicsr")
stub("basicsr.utils", get_root_logger=lambda: None)
stub("basicsr.utils.registry", ARCH_REGISTRY=Registry())
stub("basicsr.archs")


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def fraction(index):
    x = (index * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2**32


def fill(network, path):
    """Weights by the rule: about 1 for norms, else with a variance that the layers keep."""
    rows, offset = [], 0
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            is_norm = name.endswith("weight") and parameter.dim() == 1
            fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
            center, half = (1.0, 0.3) if is_norm else (0.0, (3 / fan) ** 0.5 if parameter.dim() > 1 else 0.1)
            index = np.arange(parameter.numel(), dtype=np.uint64) + np.uint64(offset)
            values = center + half * (2 * fraction(index & np.uint64(0xFFFFFFFF)) - 1)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)).reshape(parameter.shape))
            rows.append([name, list(parameter.shape), offset, center, half])
            offset += parameter.numel()
    with open(f"{out}/{path}", "w") as file:
        json.dump({"first_values": {}, "tensors": rows}, file)
    network.eval()
    return network


vqgan = load("basicsr.archs.vqgan_arch", f"{codeformer}/basicsr/archs/vqgan_arch.py")
arch = load("codeformer_arch", f"{codeformer}/basicsr/archs/codeformer_arch.py")


class Tiny(arch.CodeFormer):
    def __init__(self):
        vqgan.VQAutoEncoder.__init__(self, 32, 32, [1, 2], "nearest", 2, [16], codebook_size=24)
        self.connect_list = ["32"]
        self.position_emb = torch.nn.Parameter(torch.zeros(256, 64))
        self.feat_emb = torch.nn.Linear(256, 64)
        self.ft_layers = torch.nn.Sequential(*[arch.TransformerSALayer(64, 8, 128) for _ in range(2)])
        self.idx_pred_layer = torch.nn.Sequential(torch.nn.LayerNorm(64), torch.nn.Linear(64, 24, bias=False))
        self.fuse_encoder_block = {"32": 2}
        self.fuse_generator_block = {"32": 9}
        self.fuse_convs_dict = torch.nn.ModuleDict({"32": arch.Fuse_sft_block(32, 32)})


x = torch.sin(torch.arange(3 * 32 * 32, dtype=torch.float32) * 0.13).reshape(1, 3, 32, 32)
network = fill(Tiny(), "codeformer.json")
keep("codeformer.x", x)
with torch.no_grad():
    for weight in (0, 0.5, 1):
        keep(f"codeformer.out.{weight}", network(x, w=weight, adain=True)[0])

import torchvision.models as models  # noqa: E402
from torchvision.models.resnet import Bottleneck, ResNet  # noqa: E402

models.resnet50 = lambda pretrained: ResNet(Bottleneck, [1, 1, 1, 1])
sys.path.insert(0, facexlib)
stub("facexlib.version", __gitsha__="", __version__="")
from facexlib.detection import retinaface  # noqa: E402
from facexlib.utils.face_restoration_helper import FaceRestoreHelper  # noqa: E402

settings = retinaface.generate_config
retinaface.generate_config = lambda name: {**settings(name), "out_channel": 32}
detector = fill(retinaface.RetinaFace("resnet50", device="cpu"), "retinaface.json")
x = 90 * torch.sin(torch.arange(3 * 64 * 90, dtype=torch.float32) * 0.11).reshape(1, 3, 64, 90)
keep("retinaface.x", x)
with torch.no_grad():
    for name, value in zip(("boxes", "scores", "landmarks"), detector(x)):
        keep(f"retinaface.{name}", value)

# What a network might say of a picture of 640 x 960 with three faces, two of them nearly on each other.
height, width = 640, 960
count = sum(2 * -(-height // step) * -(-width // step) for step in (8, 16, 32))
boxes = torch.zeros(1, count, 4)
scores = torch.tensor([0.99, 0.01]).repeat(1, count, 1)
landmarks = torch.zeros(1, count, 10)
rng = np.random.default_rng(5)
rows = [24001, 24003, 20010, 100]
for row, score in zip(rows, (0.99, 0.98, 0.995, 0.999)):
    boxes[0, row] = torch.from_numpy(rng.normal(0, 0.5, 4).astype(np.float32))
    scores[0, row] = torch.tensor([1 - score, score])
    landmarks[0, row] = torch.tensor([-3, -3, 3, -3, 0, 0, -2, 3, 2, 3.0]) + torch.from_numpy(
        rng.normal(0, 0.3, 10).astype(np.float32)
    )
boxes[0, rows[1]] = boxes[0, rows[0]]
said = boxes, scores, landmarks
for name, value in zip(("boxes", "scores", "landmarks"), said):
    keep(f"said.{name}", value[0, rows])
keep("said.rows", torch.tensor(rows))

rows_, columns = np.mgrid[0:160, 0:240]
image = np.stack(
    [
        127 + 120 * np.sin(rows_ / 9.0) * np.cos(columns / 11.0),
        255 * ((rows_ // 12 + columns // 12) % 2),
        255 * columns / 239,
    ],
    axis=2,
).astype(np.uint8)
keep("picture", image)


class Said:
    def __init__(self):
        self.network = detector

    def detect_faces(self, given, threshold):
        self.network.forward = lambda _: said
        return self.network.detect_faces(given, threshold)


side = 64
helper = FaceRestoreHelper.__new__(FaceRestoreHelper)
helper.template_3points = helper.pad_blur = helper.use_parse = False
helper.upscale_factor = 1
helper.face_size = (side, side)
helper.face_template = (
    np.array(
        [
            [192.98138, 239.94708],
            [318.90277, 240.1936],
            [256.63416, 314.01935],
            [201.26117, 371.41043],
            [313.08905, 371.15118],
        ]
    )
    * side
    / 512
)
helper.face_det = Said()
helper.clean_all()
helper.read_image(image[:, :, ::-1].copy())
helper.get_face_landmarks_5(only_center_face=False, resize=640, eye_dist_threshold=5)
keep("faces.boxes", np.array(helper.det_faces, dtype=np.float32))
keep("faces.landmarks", np.array(helper.all_landmarks_5, dtype=np.float32))
helper.align_warp_face()
keep("faces.matrices", np.array(helper.affine_matrices, dtype=np.float32))
for i, face in enumerate(helper.cropped_faces):
    keep(f"faces.cut.{i}", face[:, :, ::-1].copy())
    # In place of a network: the colours the other way round.
    helper.add_restored_face(255 - face)
helper.get_inverse_affine(None)
keep("faces.pasted", helper.paste_faces_to_input_image()[:, :, ::-1].copy())

save_file(tensors, f"{out}/faces.safetensors")
print(sum(value.numel() * value.element_size() for value in tensors.values()), "bytes")
