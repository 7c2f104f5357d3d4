/** Controls that cannot be used: one line that names the file and the reason, before a step is taken. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createImage } from '../../src/image/image.ts';
import { openControlModel } from '../../src/model/control-model.ts';
import { unetOf } from '../../src/model/extended-denoiser.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { float32, zeros } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { withNames } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { controlNetConfig, randomImagePromptWeights, tinyImageEncoder } from '../control-models.ts';
import { randomWeights } from '../model/random-model.ts';

const model = await loadModel(pocketModel);
after(() => model.dispose());
const { config: unet } = unetOf(model);
const net = controlNetConfig(model);
const picture = createImage(128, 128, 3);
const settings = { prompt: 'a house', steps: 1, width: 128, height: 128, safety: false };

/** A source with the name of a file. */
const named = (source: WeightSource, label: string): WeightSource => ({ ...withNames(source, (name) => name), label });

async function run(controls: object): Promise<never> {
  for await (const event of textToImage(model, { ...settings, ...controls }))
    assert.notEqual(event.kind, 'step', 'a step was taken');
  throw new Error('nothing was refused');
}

const oneLine = (message: RegExp) => (error: Error) => {
  assert.match(error.message, message);
  assert.ok(!error.message.includes('\n'), error.message);
  return true;
};

test('a ControlNet of another family', () => {
  const { context_dim: width } = unet;
  const other = { ...net, unet: { ...unet, context_dim: 2 * (width ?? 1) } };
  assert.throws(
    () => openControlModel(model, named(randomWeights(other), 'other_family.pth')),
    oneLine(/^other_family\.pth cannot be used: it is a ControlNet for another family .*context width is 256/),
  );
  const narrow = { ...net, unet: { ...unet, model_channels: 32 } };
  assert.throws(
    () => openControlModel(model, named(randomWeights(narrow), 'narrow.pth')),
    oneLine(/^narrow\.pth .*model_channels is 32/),
  );
});

test('files that hold no control network', () => {
  const lora = memoryWeights(new Map([['lora_unet_x.lora_up.weight', float32([1, 1], [1])]]), 'a_lora.safetensors');
  assert.throws(() => openControlModel(model, lora), oneLine(/^a_lora\.safetensors is a LoRA, not a ControlNet/));
  const whole = named(
    memoryWeights(
      new Map(['model.diffusion_model.x', 'first_stage_model.y'].map((name) => [name, float32([1], [1])])),
      'whole.ckpt',
    ),
    'whole.ckpt',
  );
  assert.throws(() => openControlModel(model, whole), oneLine(/^whole\.ckpt is a whole model, not a ControlNet/));
  const encoder = named(randomWeights(net), 'canny.pth');
  assert.throws(
    () => openControlModel(model, named(randomImagePromptWeights(model), 'ip.safetensors'), { imageEncoder: encoder }),
    oneLine(/^canny\.pth is a ControlNet, not CLIP's image encoder\./),
  );
});

test('an IP-Adapter without its image encoder, and with one of another width', async () => {
  await using bare = openControlModel(model, named(randomImagePromptWeights(model), 'ip.safetensors'));
  await assert.rejects(
    run({ imagePrompts: [{ model: bare, pictures: [picture] }] }),
    oneLine(/^ip\.safetensors: this IP-Adapter needs CLIP's image encoder, and none was given/),
  );
  const wide = tinyImageEncoder(24);
  await using other = openControlModel(model, named(randomImagePromptWeights(model), 'ip.safetensors'), {
    imageEncoder: randomWeights(wide),
  });
  await assert.rejects(
    run({ imagePrompts: [{ model: other, pictures: [picture] }] }),
    oneLine(/^ip\.safetensors cannot be used with this image encoder: it takes 20 values, and the encoder makes 24/),
  );
});

test('a ControlNet without a picture, with a map of another size, and with a preprocessor that lacks its network', async () => {
  await using control = openControlModel(model, named(randomWeights(net), 'canny.pth'));
  await assert.rejects(run({ control: [{ model: control }] }), oneLine(/^canny\.pth: this ControlNet needs a picture/));
  const map = { hint: zeros('float32', [1, 3, 64, 64]), colours: zeros('float32', [1, 3, 64, 64]) };
  await assert.rejects(
    run({ control: [{ model: control, map }] }),
    oneLine(
      /^canny\.pth: the map of this control has shape \[1, 3, 64, 64\]; for the picture it must be \[1, 3, 128, 128\]/,
    ),
  );
  await assert.rejects(
    run({ control: [{ model: control, picture, preprocessor: 'hed' }] }),
    oneLine(/The preprocessor hed needs the weights of hed; no file was given/),
  );
  await assert.rejects(
    run({ control: [{ model: control, picture, preprocessor: 'reference_only' }] }),
    oneLine(/reference_only/),
  );
});
