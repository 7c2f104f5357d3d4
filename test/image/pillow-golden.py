"""Makes fixtures/image/pillow.safetensors: Pillow 13.0.0 resizing and transformers 5.23.0 CLIP preprocessing of small random pictures.

python test/image/pillow-golden.py fixtures/image/pillow.safetensors   (needs pillow, numpy, transformers, safetensors)
"""
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

random = np.random.default_rng(2022)
out = {}
# name: width, height, channels, new width, new height, filter, box
cases = {
    "rgba.lanczos": (21, 17, 4, 13, 30, "LANCZOS", None),
    "rgba.nearest": (21, 17, 4, 13, 30, "NEAREST", None),
    "rgb.vertical-first.bicubic": (24, 40, 3, 20, 15, "BICUBIC", None),
    "rgb.same-width.lanczos": (24, 40, 3, 24, 15, "LANCZOS", None),
    "rgb.box.bilinear": (30, 22, 3, 11, 19, "BILINEAR", (2.5, 1.25, 27.75, 20.0)),
    "rgb.box.nearest": (30, 22, 3, 11, 19, "NEAREST", (2.5, 1.25, 27.75, 20.0)),
    "grey.hamming": (30, 22, 1, 7, 5, "HAMMING", None),
}
for name, (width, height, channels, new_width, new_height, kind, box) in cases.items():
    pixels = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    resized = np.asarray(image.resize((new_width, new_height), Image.Resampling[kind], box=box))
    out[f"{name}.in"] = pixels
    out[f"{name}.out"] = resized.reshape(new_height, new_width, channels).copy()
    if box:
        out[f"{name}.box"] = np.array(box, dtype=np.float64)

processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
for name, (width, height) in {"wide": (50, 31), "tall": (20, 45), "square": (64, 64)}.items():
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    out[f"clip.{name}.in"] = pixels
    out[f"clip.{name}.out"] = np.asarray(processor(Image.fromarray(pixels), return_tensors="np")["pixel_values"])
save_file(out, sys.argv[1])
