"""Uses a server through the unmodified `webuiapi` package, and prints what it saw as JSON. Arguments: the port and, where it has one, the key."""

import json
import sys
import threading
import time

import webuiapi
from PIL import Image

port = int(sys.argv[1])
login = {"username": "anybody", "password": sys.argv[2]} if len(sys.argv) > 2 else {}
api = webuiapi.WebUIApi(host="127.0.0.1", port=port, sampler="Euler a", steps=2, **login)
small = {"width": 64, "height": 64}
seen = {}

made = api.txt2img(prompt="a red apple", negative_prompt="blue", seed=5, batch_size=2, **small)
seen["txt2img"] = {"sizes": [image.size for image in made.images], "seeds": made.info["all_seeds"], "steps": made.parameters["steps"], "mode": made.image.mode}

source = Image.new("RGB", (64, 64), (200, 40, 40))
again = api.img2img(images=[source], prompt="a blue car", seed=5, denoising_strength=0.5, **small)
seen["img2img"] = {"sizes": [image.size for image in again.images], "strength": again.info["denoising_strength"], "changed": again.image.tobytes() != source.tobytes()}

mask = Image.new("L", (64, 64), 0)
mask.paste(255, (16, 16, 48, 48))
painted = api.img2img(images=[source], mask_image=mask, mask_blur=0, inpainting_fill=1, inpaint_full_res=False, prompt="a heart", seed=5, denoising_strength=0.9, **small).image
seen["inpaint"] = {"kept": painted.getpixel((2, 2)) == (200, 40, 40), "painted": painted.getpixel((32, 32)) != (200, 40, 40)}

seen["png_info"] = api.png_info(made.image).info
seen["extras"] = api.extra_single_image(image=source, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5).image.size
seen["extras_batch"] = [image.size for image in api.extra_batch_images(images=[source, source], upscaler_1="Nearest", upscaling_resize=2).images]
seen["hires"] = api.txt2img(prompt="a cat", enable_hr=True, hr_scale=1.5, hr_upscaler=webuiapi.HiResUpscaler.Latent, seed=5, **small).image.size

options = api.get_options()
seen["set_options"] = api.set_options(options)
api.set_options({"CLIP_stop_at_last_layers": 2})
seen["clip_skip"] = api.get_options()["CLIP_stop_at_last_layers"]
api.util_set_model("pocket")
seen["model"] = api.util_get_current_model()
seen["lists"] = {
    "models": api.util_get_model_names(), "samplers": "DPM++ 2M" in api.util_get_sampler_names(), "schedulers": "karras" in api.util_get_scheduler_names(),
    "upscalers": [row["name"] for row in api.get_upscalers()], "modes": len(api.get_latent_upscale_modes()), "vae": api.get_sd_vae(), "loras": api.get_loras(), "embeddings": api.get_embeddings(),
    "styles": api.get_prompt_styles(), "hypernetworks": api.get_hypernetworks(), "restorers": api.get_face_restorers(), "scripts": api.get_scripts(), "flags": isinstance(api.get_cmd_flags(), dict),
    "memory": sorted(api.get_memory()), "refresh": api.refresh_checkpoints(),
}

seen["idle"] = api.get_progress()["progress"]
results = []
worker = threading.Thread(target=lambda: results.append(api.txt2img(prompt="a tree", steps=150, n_iter=4, seed=1, **small)))
worker.start()
for _ in range(600):
    told = api.get_progress()
    if told["current_image"]:
        break
    time.sleep(0.02)
seen["progress"] = {"share": told["progress"], "job_count": told["state"]["job_count"], "step": told["state"]["sampling_step"], "preview": bool(told["current_image"])}
seen["interrupt"] = api.interrupt()
worker.join()
seen["interrupted"] = len(results[0].images)
api.util_wait_for_ready(check_interval=0.05)

try:
    api.txt2img(prompt="x", sampler_name="Magic", **small)
except RuntimeError as error:
    seen["refused"] = error.args[0]
print("\n" + json.dumps(seen))
