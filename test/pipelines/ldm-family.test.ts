/** Models of the LDM family other than Stable Diffusion, made of random weights: every kind of condition and of first stage runs to a picture. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { createImage } from '../../src/image/image.ts';
import type { GenerateOptions } from '../../src/generation/inputs.ts';
import { inpaint } from '../../src/pipelines/inpaint.ts';
import { resultOf } from './result.ts';
import { classModel, kl, randomModel, vq, vqModel, yaml } from '../random-models.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

const cases: {
  readonly name: string;
  readonly yaml: string;
  readonly options: GenerateOptions;
  readonly size: number;
}[] = [
  {
    name: 'unconditional, VQ first stage (as ldm-celebahq)',
    yaml: vqModel,
    options: {},
    size: 16,
  },
  {
    name: 'class-conditional by cross attention (as cin256)',
    yaml: classModel,
    options: { classLabels: [3, 7], guidanceScale: 2 },
    size: 16,
  },
  {
    name: "text by BERT's encoder (as txt2img-1p4B)",
    yaml: yaml({
      params: 'channels: 4, conditioning_key: crossattn, scale_factor: 0.18215',
      unet: 'in_channels: 4, out_channels: 4, num_heads: 4, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32, legacy: false',
      stage: kl,
      condition:
        '{target: ldm.modules.encoders.modules.BERTEmbedder, params: {n_embed: 32, n_layer: 1, vocab_size: 100}}',
    }),
    options: { prompt: 'a red house', guidanceScale: 3 },
    size: 16,
  },
  {
    name: 'pixels without a first stage, v prediction',
    yaml: yaml({
      params: 'channels: 3, parameterization: v',
      unet: 'in_channels: 3, out_channels: 3, num_heads: 4',
      stage: '{target: ldm.models.autoencoder.IdentityFirstStage}',
      condition: '__is_unconditional__',
    }),
    options: {},
    size: 8,
  },
];

for (const { name, yaml: text, options, size } of cases) {
  for (const sampler of ['ddim', 'plms', 'dpm-solver', 'euler-ancestral']) {
    test(`${name}: ${sampler}`, async () => {
      await using engine = createNodeEngine({ threads: 1 });
      await using model = await randomModel(text, engine);
      assert.equal(model.nativeSize, size);
      const request = { ...options, sampler, steps: 4, width: size, height: 2 * size, seed: 3 };
      const { images, latents } = await resultOf(textToImage(model, request));
      assert.equal(images.length, options.classLabels?.length ?? 1);
      assert.deepEqual([images[0]?.image.width, images[0]?.image.height], [size, 2 * size]);
      assert.ok(latents.data.every(Number.isFinite));
    });
  }
}

test('a class-conditional model without a class is refused', async () => {
  await using engine = createNodeEngine({ threads: 1 });
  const classes = cases[1];
  assert.ok(classes);
  await using model = await randomModel(classes.yaml, engine);
  const run = async (): Promise<void> => {
    for await (const event of textToImage(model, { steps: 2 })) void event;
  };
  await assert.rejects(
    run(),
    (error: unknown) => error instanceof StableDiffusionError && error.code === 'invalid-argument',
  );
});

test("LDM's inpainting model: masked latent and mask as extra channels, the known part kept (to the level that truncation loses)", async () => {
  await using engine = createNodeEngine({ threads: 1 });
  const text = yaml({
    params: 'channels: 3, conditioning_key: concat, cond_stage_key: masked_image',
    unet: 'in_channels: 7, out_channels: 3, num_heads: 4',
    stage: vq,
    condition: '__is_first_stage__',
  });
  await using model = await randomModel(text, engine);
  const image = createImage(
    16,
    16,
    3,
    Uint8Array.from({ length: 768 }, (_, i) => (i * 37) % 256),
  );
  const mask = createImage(
    16,
    16,
    1,
    Uint8Array.from({ length: 256 }, (_, i) => (i % 16 < 8 ? 255 : 0)),
  );
  const { images } = await resultOf(inpaint(model, { image, mask, steps: 3, watermark: false }));
  const made = images[0]?.image.data ?? new Uint8Array();
  const changed = Array.from({ length: 256 }, (_, i) =>
    [0, 1, 2].some((c) => Math.abs((made[3 * i + c] ?? 0) - (image.data[3 * i + c] ?? 0)) > 1),
  );
  assert.ok(
    changed.every((value, i) => i % 16 < 8 || !value),
    'the known half is as it was',
  );
  assert.ok(changed.some(Boolean), 'the other half is new');
});

test("A1111's prompt syntax is refused where there is no CLIP text encoder", async () => {
  await using engine = createNodeEngine({ threads: 1 });
  for (const { yaml: text, options } of cases) {
    await using model = await randomModel(text, engine);
    const pictures = textToImage(model, { ...options, prompt: 'a red house', promptSyntax: 'a1111', steps: 2 });
    const run = async (): Promise<void> => {
      for await (const event of pictures) void event;
    };
    await assert.rejects(run(), { code: 'invalid-argument' });
  }
});
