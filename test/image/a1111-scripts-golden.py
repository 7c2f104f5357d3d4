"""Makes fixtures/image/a1111-scripts.safetensors: the noise of A1111's outpainting mk2 (scripts/outpainting_mk_2.py, v1.10.1) and its colour
correction (modules/processing.py), of small random pictures.

python test/image/a1111-scripts-golden.py FOLDER_OF_A1111 fixtures/image/a1111-scripts.safetensors
(needs numpy, pillow, scikit-image 0.26, opencv-python-headless 5, blendmodes, safetensors)
"""
import ast
import sys

import cv2
import numpy as np
import skimage
from blendmodes.blend import BlendType, blendLayers
from PIL import Image, ImageDraw
from safetensors.numpy import save_file
from skimage import exposure

folder, result = sys.argv[1:]


def functions(path, *names):
    """The functions of a file, without what it imports."""
    tree = ast.parse(open(f"{folder}/{path}").read())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    scope = {"np": np, "skimage": skimage, "cv2": cv2, "exposure": exposure, "Image": Image,
             "blendLayers": blendLayers, "BlendType": BlendType, "logging": __import__("logging")}
    exec(compile(tree, path, "exec"), scope)
    return [scope[name] for name in names]


(matched_noise,) = functions("scripts/outpainting_mk_2.py", "get_matched_noise")
set_up, apply = functions("modules/processing.py", "setup_color_correction", "apply_color_correction")

random = np.random.default_rng(7)
out = {}


def picture(height, width):
    """Smooth waves and some grain."""
    y, x = np.mgrid[:height, :width] / 16
    waves = np.stack([np.sin(x + c) + np.cos(y * (c + 1) / 2) for c in range(3)], axis=2)
    return np.clip(128 + 50 * waves + random.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


for name, (width, height, box, fall_off, variation) in {
    "left": (96, 64, (40, 0, 96, 64), 1.0, 0.05),
    "down": (64, 80, (0, 0, 64, 44), 1.6, 0.4),
}.items():
    image = Image.new("RGB", (width, height))
    left, top, right, bottom = box
    image.paste(Image.fromarray(picture(bottom - top, right - left)), (left, top))
    mask = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(mask).rectangle((left + 4 if left else 0, top, right, bottom - 4 if bottom < height else bottom), fill="black")
    noised = matched_noise((np.asarray(image) / 255.0).astype(np.float64), (np.asarray(mask) / 255.0).astype(np.float64), fall_off, variation)
    out[f"noise.{name}.image"] = np.asarray(image).copy()
    out[f"noise.{name}.mask"] = np.asarray(mask)[..., :1].copy()
    out[f"noise.{name}.settings"] = np.array([fall_off, variation])
    out[f"noise.{name}.out"] = np.clip(noised * 255.0, 0.0, 255.0).astype(np.uint8)

source = picture(40, 56)
made = random.integers(0, 256, (32, 48, 3), dtype=np.uint8)
out["colour.source"] = source
out["colour.made"] = made
out["colour.out"] = np.asarray(apply(set_up(Image.fromarray(source)), Image.fromarray(made))).copy()

colours = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
out["lab.rgb"] = colours
out["lab.lab"] = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)
out["lab.back"] = cv2.cvtColor(colours, cv2.COLOR_LAB2RGB)
save_file(out, result)
