"""Uses ControlNet through the unmodified `webuiapi` package, and prints what it saw as JSON. Argument: the port."""

import json
import sys

import webuiapi
from PIL import Image, ImageDraw

api = webuiapi.WebUIApi(host="127.0.0.1", port=int(sys.argv[1]), sampler="Euler a", steps=2)
small = {"width": 64, "height": 64, "prompt": "a red apple", "seed": 5}
picture = Image.new("RGB", (96, 96), (250, 250, 250))
ImageDraw.Draw(picture).ellipse((16, 16, 80, 80), fill=(200, 30, 30))
models = api.controlnet_model_list()
canny = next(name for name in models if "canny" in name)
seen = {"version": api.controlnet_version(), "models": len(models), "modules": "canny" in api.controlnet_module_list()}

plain = api.txt2img(**small)
unit = webuiapi.ControlNetUnit(image=picture, module="canny", model=canny, weight=1.2, control_mode=2, pixel_perfect=True)
off = webuiapi.ControlNetUnit(image=picture, module="canny", model=canny, enabled=False)
made = api.txt2img(controlnet_units=[unit, off], **small)
seen["txt2img"] = {"sizes": [image.size for image in made.images], "changed": made.image.tobytes() != plain.image.tobytes(), "text": made.info["extra_generation_params"]["ControlNet 0"]}

mask = Image.new("L", (96, 96), 0)
mask.paste(255, (32, 32, 64, 64))
fill = webuiapi.ControlNetUnit(image=picture, mask=mask, module="inpaint_only", model=canny, resize_mode="Crop and Resize", hr_option="Low res only")
again = api.img2img(images=[picture], controlnet_units=[fill], denoising_strength=0.7, **small)
seen["img2img"] = {"modes": [image.mode for image in again.images]}

try:
    api.txt2img(controlnet_units=[webuiapi.ControlNetUnit(image=picture, model="gone")], **small)
except RuntimeError as error:
    seen["refused"] = error.args[0]
print("\n" + json.dumps(seen))
