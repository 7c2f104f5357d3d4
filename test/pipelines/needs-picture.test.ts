/** Models that take a picture refuse a prompt alone, naming what to give: inpainting, InstructPix2Pix, depth, x4 upscaler. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { checkpointKind } from '../../src/checkpoints/assembled-config.ts';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { Model } from '../../src/model/model.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { randomCheckpoint } from '../model/random-model.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const text = clipTextConfigSchema.parse({
  kind: 'clip_text',
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 1,
});
const tokenizers = new Map([['cond_stage', createClipTokenizer()]]);

for (const [kind, unet, config, wanted] of [
  ['inpaint', { in_channels: 9 }, { conditioning_key: 'hybrid' }, /from a picture and a mask, .* image of inpaint\./],
  ['ip2p', { in_channels: 8 }, { conditioning_key: 'hybrid' }, /from a picture, .* image of img2img\./],
  ['depth', { in_channels: 5 }, { image_condition: { kind: 'depth', network: null } }, /image of img2img\./],
] as const)
  test(`${kind}: a prompt alone is refused by name`, async () => {
    const made = randomCheckpoint(text, 16, { unet, config });
    const checkpoint = { ...made, kind: checkpointKind(made.config) };
    assert.equal(checkpoint.kind, kind);
    await using model = new Model({ engine, checkpoint, tokenizers, ownsCheckpoint: false });
    const run = textToImage(model, { prompt: 'a fox', width: 16, height: 16, steps: 1 });
    await assert.rejects(run.next(), { code: 'invalid-argument', message: wanted });
  });
