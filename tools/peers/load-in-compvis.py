"""Loads a model that `sd train` wrote in CompVis's own code, samples there, and compares with `sd txt2img`.

    git clone https://github.com/CompVis/stable-diffusion /tmp/compvis
    pip install torch omegaconf einops safetensors transformers tqdm numpy pillow
    python tools/peers/load-in-compvis.py runs/micro --compvis /tmp/compvis --prompt "a red circle"

The folder holds model.safetensors, model.yaml and, for BERT's text encoder, vocab.txt. CompVis's classes do all the work: LatentDiffusion, its
UNet, BERTEmbedder, DDIMSampler. Packages that those files import and that loading and sampling never call (PyTorch Lightning, taming, clip, kornia)
are replaced by empty ones where they are not installed, and what is fixed to CUDA there runs on the CPU. Every parameter must be loaded: the only
names the file may lack are the noise schedule's tables, which the constructor works out.
"""

import argparse
import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from transformers import BertTokenizerFast, CLIPTextModel, CLIPTokenizer  # noqa: F401 (before the stand-ins, for which it looks)

from stand_in import stand_in, stand_in_lightning


def stand_ins():
    stand_in_lightning()
    for name in ("taming", "taming.modules", "taming.modules.vqvae", "clip", "kornia", "torchvision"):
        stand_in(name)
    stand_in("taming.modules.vqvae.quantize", VectorQuantizer2=object)
    stand_in("torchvision.utils", make_grid=None)


def load(folder):
    from ldm.util import instantiate_from_config

    config = OmegaConf.load(folder / "model.yaml")
    vocabulary = folder / "vocab.txt"
    if vocabulary.exists():
        # The original asks the hub for bert-base-uncased; this model has words of its own.
        words = {word: number for number, word in enumerate(vocabulary.read_text().split())}
        takes = "vocab" if "vocab" in inspect.signature(BertTokenizerFast).parameters else "vocab_file"
        tokenizer = BertTokenizerFast(**{takes: words if takes == "vocab" else str(vocabulary)})
        assert tokenizer.unk_token_id not in tokenizer(" ".join(list(words)[5:]))["input_ids"], "the tokenizer did not take vocab.txt"
        BertTokenizerFast.from_pretrained = classmethod(lambda cls, name: tokenizer)
        config.model.params.cond_stage_config.params.device = "cpu"
    model = instantiate_from_config(config.model)
    if vocabulary.exists():
        model.cond_stage_model.tknz_fn.device = "cpu"
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    parameters = dict(model.named_parameters())
    lost = [name for name in missing if name in parameters]
    print(f"parameters {len(parameters)}, not in the file {lost}, unknown to CompVis {list(unexpected)}")
    if lost or unexpected:
        sys.exit("FAILED: the file does not hold the parameters of CompVis's model.")
    return model.eval()


def sample(model, prompt, steps, seed):
    from ldm.models.diffusion.ddim import DDIMSampler

    DDIMSampler.register_buffer = lambda self, name, value: setattr(self, name, value)
    unet = model.model.diffusion_model
    shape = [model.channels, model.image_size, model.image_size]
    with torch.no_grad():
        torch.manual_seed(seed)
        condition = model.get_learned_conditioning([prompt])
        latent, _ = DDIMSampler(model).sample(S=steps, batch_size=1, shape=shape, conditioning=condition, eta=0.0, verbose=False)
        image = model.decode_first_stage(latent)
    print(f"UNet of {sum(p.numel() for p in unet.parameters())} parameters sampled in CompVis's code")
    pixels = 255.0 * torch.clamp((image + 1.0) / 2.0, 0.0, 1.0)
    return latent, pixels[0].permute(1, 2, 0).numpy().astype(np.uint8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--compvis", type=Path, required=True)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, help="both pictures side by side, CompVis's on the left")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(given.compvis))
    stand_ins()
    latent, theirs = sample(load(given.folder), given.prompt, given.steps, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        path, latents = Path(folder) / "ours.png", Path(folder) / "ours.safetensors"
        words = ["txt2img", given.prompt, "--model", str(given.folder / "model.safetensors"), "--sampler", "ddim", "--steps", str(given.steps), "--seed", str(given.seed), "--scale", "1", "--output", str(path), "--save-latents", str(latents)]
        root = Path(__file__).parents[2]
        subprocess.run(["node", "--import", "./tools/typescript.mjs", "src/cli/main.ts", *[str(Path(word).resolve()) if Path(word).exists() else word for word in words]], cwd=root, check=True)
        our_latent = load_file(latents)["latents"]
        ours = np.asarray(Image.open(path).convert("RGB"))
    if given.output:
        Image.fromarray(np.concatenate([theirs, ours], axis=1)).resize((8 * theirs.shape[1], 4 * theirs.shape[0]), Image.NEAREST).save(given.output)
    levels = np.abs(theirs.astype(int) - ours.astype(int))
    error = ((latent - our_latent).abs().max() / latent.abs().max()).item()
    print(f"latents: largest difference {error:.1e} of the largest value; pictures: {levels.max()} levels of 255, mean {levels.mean():.4f}")
    if error > 1e-3:
        sys.exit("FAILED: the samples differ.")
    print("OK")


if __name__ == "__main__":
    main()
