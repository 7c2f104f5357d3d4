"""Holds LoRAs and textual inversions that this program trained and wrote against diffusers, PEFT and transformers.

pip install torch diffusers peft transformers safetensors, then: python tools/peers/adapters.py
Runs tools/peers/adapters.ts first, which trains a small LoRA (UNet and text encoder, convolutions, alpha other than the rank) and an
embedding, and writes them with what the networks give here. Exit code 0: every output agrees.
"""
import pathlib
import subprocess
import sys
import tempfile

import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

root = pathlib.Path(__file__).resolve().parents[2]
folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="adapters-"))
subprocess.run(["node", "--import", "./tools/typescript.mjs", "tools/peers/adapters.ts", str(folder)], cwd=root, check=True)

results = load_file(folder / "results.safetensors")
failed = False


def compare(what, got, want, tolerance=2e-5):
    global failed
    error = (got - want).abs().max().item()
    failed |= not error <= tolerance
    print(f"{'ok ' if error <= tolerance else 'NOT'} {what}: largest difference {error:.2e} (allowed {tolerance:.0e})")


def pipeline():
    pipe = StableDiffusionPipeline.from_pretrained(folder / "model", safety_checker=None, requires_safety_checker=False, low_cpu_mem_usage=False)
    return pipe.to(torch.float32)


x, timesteps = results["x"], results["timesteps"]
with torch.no_grad():
    pipe = pipeline()
    compare("the model itself", pipe.unet(x, timesteps, results["lora.context"]).sample, results["plain.out"])
    tokens = pipe.tokenizer(["a photo of a cat on a table", "a dog"], padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    for layout in ("diffusers", "kohya"):
        pipe = pipeline()
        pipe.load_lora_weights(folder, weight_name=f"lora.{layout}.safetensors", adapter_name="it")
        pipe.set_adapters(["it"], [0.75])
        compare(f"{layout}: text encoder with the LoRA", pipe.text_encoder(tokens)[0], results["lora.context"])
        compare(f"{layout}: UNet with the LoRA", pipe.unet(x, timesteps, results["lora.context"]).sample, results["lora.out"])
    with safe_open(folder / "lora.kohya.safetensors", "pt") as file:
        print("kohya metadata:", file.metadata())
    pipe = pipeline()
    pipe.load_textual_inversion(folder, weight_name="learned_embeds.safetensors")
    prompts = [pipe.maybe_convert_prompt(prompt, pipe.tokenizer) for prompt in ["a photo of a <cat> on a table", "a dog"]]
    ids = pipe.tokenizer(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    # transformers counts the start and end of a shortened vocabulary as ours does; added tokens come behind it in both.
    compare("textual inversion: ids", ids.float(), results["inversion.ids"].float(), 0)
    compare("textual inversion: text encoder", pipe.text_encoder(ids)[0], results["inversion.context"])
sys.exit(1 if failed else 0)
