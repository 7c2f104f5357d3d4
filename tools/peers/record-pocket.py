"""Records what the original code makes of the small model that ships, for `test/cli/generation.test.ts`.

    git clone https://github.com/Stability-AI/stablediffusion /tmp/stablediffusion
    pip install torch omegaconf einops safetensors transformers tqdm numpy pillow
    python tools/peers/record-pocket.py models/pocket.safetensors --original /tmp/stablediffusion --merges bpe_simple_vocab_16e6.txt.gz --output fixtures/pocket

The UNet, the decoder and DDIMSampler are those of Stability AI's continuation of the CompVis repository (which has the velocity prediction), the
text encoder and tokenizer are those of transformers, all in float32. Reads runs.json in the output folder; writes runs.safetensors (start
noise, context, final latent) and the pictures beside it.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from stand_in import stand_in_lightning


def tokenizer_of(size, merges_path):
    """CLIP's byte-pair encoding, cut to `size` ids: 512 bytes, merges, start and end."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    text = gzip.decompress(merges_path.read_bytes()).decode()
    merges = [line for line in text.splitlines() if line and not line.startswith('"bpe_simple_vocab') and not line.startswith("#")][: size - 514]
    letters = list(bytes_to_unicode().values())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == size
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[tuple(merge.split()) for merge in merges], model_max_length=77)


def part(weights, prefix):
    return {name[len(prefix):]: value.float() for name, value in weights.items() if name.startswith(prefix)}


def load(module, weights):
    missing, unexpected = module.load_state_dict(weights, strict=False)
    lost = [name for name in missing if not name.endswith("position_ids")]
    assert not lost and not [name for name in unexpected if not name.endswith("position_ids")], (lost, unexpected)
    return module.eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--merges", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz of openai/CLIP")
    given = parser.parse_args()
    sys.path.insert(0, str(given.original))
    stand_in_lightning()
    from ldm.models.diffusion.ddim import DDIMSampler
    from ldm.modules.diffusionmodules.model import Decoder
    from ldm.modules.diffusionmodules.openaimodel import UNetModel
    from ldm.modules.diffusionmodules.util import extract_into_tensor, make_beta_schedule

    torch.set_num_threads(1)
    config = OmegaConf.load(given.model.with_suffix(".yaml")).model.params
    weights = load_file(given.model)
    text = config.cond_stage_config.params
    encoder = CLIPTextModel(CLIPTextConfig(**{**OmegaConf.to_container(text), "bos_token_id": text.vocab_size - 2, "eos_token_id": text.vocab_size - 1, "pad_token_id": text.vocab_size - 1}))
    prefix = "cond_stage_model.transformer." + ("" if hasattr(encoder, "text_model") else "text_model.")
    load(encoder, part(weights, prefix))
    unet_config = {name: value for name, value in OmegaConf.to_container(config.unet_config.params).items() if name != "use_checkpoint"}
    unet = load(UNetModel(**unet_config), part(weights, "model.diffusion_model."))
    stage = config.first_stage_config.params
    decoder = load(Decoder(**OmegaConf.to_container(stage.ddconfig)), part(weights, "first_stage_model.decoder."))
    post_quant = load(torch.nn.Conv2d(stage.embed_dim, stage.ddconfig.z_channels, 1), part(weights, "first_stage_model.post_quant_conv."))

    class Model:
        """What DDIMSampler asks of LatentDiffusion."""

        parameterization = config.get("parameterization", "eps")
        num_timesteps = config.timesteps
        device = torch.device("cpu")
        betas = torch.from_numpy(make_beta_schedule("linear", config.timesteps, linear_start=config.linear_start, linear_end=config.linear_end)).float()
        alphas_cumprod = torch.from_numpy(np.cumprod(1.0 - make_beta_schedule("linear", config.timesteps, linear_start=config.linear_start, linear_end=config.linear_end))).float()
        alphas_cumprod_prev = torch.cat([torch.ones(1), alphas_cumprod[:-1]])

        def apply_model(self, x, t, context):
            return unet(x, t, context=context)

        def predict_start_from_z_and_v(self, x, t, v):
            return extract_into_tensor(self.alphas_cumprod.sqrt(), t, x.shape) * x - extract_into_tensor((1 - self.alphas_cumprod).sqrt(), t, x.shape) * v

        def predict_eps_from_z_and_v(self, x, t, v):
            return extract_into_tensor(self.alphas_cumprod.sqrt(), t, x.shape) * v + extract_into_tensor((1 - self.alphas_cumprod).sqrt(), t, x.shape) * x

    DDIMSampler.register_buffer = lambda self, name, value: setattr(self, name, value)
    tokenizer = tokenizer_of(text.vocab_size, given.merges)
    recorded = {}
    with torch.no_grad():
        def encode(prompt):
            ids = tokenizer(prompt, truncation=True, max_length=77, padding="max_length", return_tensors="pt")["input_ids"]
            ids[ids == tokenizer.pad_token_id] = text.vocab_size - 1
            return encoder(input_ids=ids).last_hidden_state

        for run in json.loads((given.output / "runs.json").read_text()):
            name = run["name"]
            side = config.image_size
            start = torch.randn(1, config.channels, side, side, generator=torch.Generator().manual_seed(run["seed"]))
            context = encode(run["prompt"])
            latent, _ = DDIMSampler(Model()).sample(
                S=run["steps"], batch_size=1, shape=[config.channels, side, side], conditioning=context, eta=run["eta"], x_T=start, verbose=False,
                unconditional_guidance_scale=run["scale"], unconditional_conditioning=encode(""))
            image = decoder(post_quant(latent / config.scale_factor))
            pixels = 255.0 * torch.clamp((image + 1.0) / 2.0, 0.0, 1.0)
            Image.fromarray(pixels[0].permute(1, 2, 0).numpy().astype(np.uint8)).save(given.output / f"{name}.png")
            recorded.update({f"{name}.start": start, f"{name}.context": context, f"{name}.latent": latent, f"{name}.image": image})
    save_file({name: value.contiguous() for name, value in recorded.items()}, given.output / "runs.safetensors")


if __name__ == "__main__":
    main()
