"""
Records BLIP of transformers and DeepDanbooru of A1111: `fixtures/describers/`.

    wget https://raw.githubusercontent.com/AUTOMATIC1111/stable-diffusion-webui/v1.10.1/modules/deepbooru_model.py
    python describers-golden.py deepbooru_model.py fixtures/describers

The networks are narrow, with random weights. BLIP is also written in the layout of Salesforce's file; DeepDanbooru as A1111's, with fewer channels.
"""

import json
import sys
import types

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BlipConfig, BlipForConditionalGeneration

deepbooru, out = sys.argv[1:3]
rng = np.random.default_rng(13)

# BLIP

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "do", "n", "'", "t", ".", ","]
words += ["cat", "dog", "hat", "red", "blue", "on", "in", "the", "sun", "##ny", "##s", "sea"]
open(f"{out}/vocab.txt", "w").write("\n".join(words) + "\n")
count = len(words) + 2
torch.manual_seed(3)
text = dict(vocab_size=count, hidden_size=32, encoder_hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=40, bos_token_id=count - 2, eos_token_id=3, sep_token_id=3,
            pad_token_id=0)
vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32,
              patch_size=8)
model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).eval()
with torch.no_grad():
    for name, value in model.named_parameters():
        spread = 0.05 if value.dim() < 2 else 0.6
        value.copy_(torch.randn_like(value) * spread + (1 if "norm" in name.lower() and name.endswith("weight") else 0))
state = {name: value.clone().half().float() for name, value in model.state_dict().items() if value.dtype == torch.float32}
model.load_state_dict(state, strict=False)
tied = "text_decoder.cls.predictions.decoder.weight"
assert torch.equal(model.state_dict()[tied], state["text_decoder.bert.embeddings.word_embeddings.weight"])
save_file({k: v.half() for k, v in state.items() if k not in (tied, "text_decoder.cls.predictions.decoder.bias")},
          f"{out}/blip.safetensors")

picture = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
small = np.array(Image.fromarray(picture).resize((32, 32), Image.BICUBIC))
x = (torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255 - mean) / std
start = torch.tensor([[count - 2] + [words.index(w) for w in ("a", "picture", "of")]])
tensors = {"picture": torch.from_numpy(picture), "x": x}
sentences = []
with torch.no_grad():
    image = model.vision_model(pixel_values=x)[0]
    tensors["image"] = image
    tensors["logits"] = model.text_decoder(start, encoder_hidden_states=image)["logits"][:, -1] if False else \
        model.text_decoder(input_ids=start, encoder_hidden_states=image).logits[:, -1]
    for beams in (1, 2, 3, 5):
        for shortest in (4, 6, 12, 24):
            for longest in (5, 16, 30):
                if longest < shortest:
                    continue
                made = model.text_decoder.generate(
                    input_ids=start, encoder_hidden_states=image, num_beams=beams, min_length=shortest,
                    max_length=longest, eos_token_id=3, pad_token_id=0, repetition_penalty=1.0, do_sample=False)
                ids = made[0].tolist()
                while ids and ids[-1] == 0 and beams > 1:
                    ids.pop()
                sentences.append(dict(beams=beams, shortest=shortest, longest=longest, ids=ids))
json.dump(sentences, open(f"{out}/sentences.json", "w"))

# DeepDanbooru

sys.modules["modules"] = types.ModuleType("modules")
sys.modules["modules"].devices = types.SimpleNamespace(unet_needs_upcast=False)
conv = torch.nn.Conv2d
narrow = lambda channels: channels if channels == 3 else 37 if channels == 9176 else max(2, channels // 64)


class NarrowConv(conv):
    def __init__(self, in_channels, out_channels, **options):
        super().__init__(narrow(in_channels), narrow(out_channels), **options)


torch.nn.Conv2d = NarrowConv
names = {"torch": torch}
exec(compile(open(deepbooru).read(), deepbooru, "exec"), names)
tagger = names["DeepDanbooruModel"]().eval()
torch.nn.Conv2d = conv
with torch.no_grad():
    for name, value in tagger.named_parameters():
        fan = value[0].numel() if value.dim() > 1 else 400
        gain = 0.3 if value.dim() > 1 and value.shape[0] > value.shape[1] else 1.4
        value.copy_((torch.randn_like(value) * gain / fan**0.5).half().float())
tags = [f"tag_{i}" if i % 3 else f"long_(name)_{i}" for i in range(34)] + ["rating:safe", "rating:questionable", "rating:explicit"]
torch.save({**{k: v.half() for k, v in tagger.state_dict().items()}, "tags": tags}, f"{out}/deepdanbooru.pt")
drawn = np.asarray(Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((512, 512), Image.BICUBIC))
tensors["drawn"] = torch.from_numpy(np.asarray(Image.fromarray(drawn).resize((64, 64), Image.BICUBIC)))
whole = Image.fromarray(tensors["drawn"].numpy()).resize((512, 512), Image.LANCZOS)
with torch.no_grad():
    tensors["scores"] = tagger(torch.from_numpy(np.array(whole, dtype=np.float32)[None] / 255))
print("scores", tensors["scores"].min(), tensors["scores"].max(), tensors["scores"].std())
save_file({k: v.contiguous() for k, v in tensors.items()}, f"{out}/recorded.safetensors")
