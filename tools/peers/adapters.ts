/**
 * Writes adapters and what they give here, for `adapters.py` to hold against diffusers, PEFT and transformers: a small model as a diffusers
 * folder, a LoRA of it in both layouts, a textual inversion, and the UNet's and text encoder's outputs with them.
 *
 * node --import ./tools/typescript.mjs tools/peers/adapters.ts FOLDER
 */

import { ldmUNet } from '../../src/config/network-config.ts';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCli } from '../../src/cli/program.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { ClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { createLoraTrainee } from '../../src/training/adapt/lora.ts';
import { createTextualInversionTrainee } from '../../src/training/adapt/textual-inversion.ts';
import { trainAdapter } from '../../src/training/adapt/train-adapter.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { writeLora } from '../../src/adapters/lora/write-lora.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';

const folder = process.argv[2] ?? 'adapters-check';
const tiny = join(import.meta.dirname, '../../fixtures/diffusion/pipelines/tiny.ckpt');
mkdirSync(folder, { recursive: true });

const context = {
  out: { isTerminal: false, columns: 100, write: () => {} },
  err: { isTerminal: false, columns: 100, write: (text: string) => void process.stderr.write(text) },
  input: (async function* () {})(),
  environment: {},
  signal: new AbortController().signal,
  now: () => performance.now(),
};
await runCli(['convert', tiny, join(folder, 'model'), '--layout', 'diffusers'], context, '0');

const engine = createNodeEngine({ threads: 2 });
const checkpoint = await openCheckpointAt(tiny);
const plain = await loadModel(tiny, { engine });
const tokenizer = plain.tokenizer as ClipTokenizer;
const side = 16;
const latents = (seed: number): Tensor<'float32'> =>
  new TorchGenerator(seed).randn([checkpoint.config.unet_config.in_channels, side, side]);

async function train(trainee: Trainee<unknown>, steps: number, caption: string): Promise<void> {
  const items = [1, 2].map((i) => ({ name: `${i}`, caption, metadata: {}, latents: latents(i) }));
  const batches = (async function* () {
    for (;;) yield { items };
  })();
  for await (const { step, metrics } of trainAdapter(trainee, { batches, steps, learningRate: 1e-2 }))
    console.error(`step ${step}: loss ${metrics['loss']}`);
}

// alpha is not the rank, and 3x3 convolutions have another: what readers get wrong.
const lora = await createLoraTrainee({
  engine,
  checkpoint,
  tokenizer,
  text: { rank: 2, alpha: 1, targets: ['attention', 'feed-forward'] },
  unet: {
    rank: 4,
    alpha: 2,
    convolutionRank: 2,
    convolutionAlpha: 1,
    targets: (name) =>
      /^(?:input_blocks\.(?:0|1|2|3)|middle_block|out\.2|time_embed)\b.*\.weight$/.test(name) &&
      !/norm|in_layers\.0|out_layers\.0/.test(name),
  },
});
await train(lora, 4, 'a cat');
const factors = await lora.factors();
const { unet_config: unet, cond_stage_config: text } = checkpoint.config;
if (typeof text !== 'object' || text?.kind !== 'clip_text') throw new Error('the small model has CLIP’s text encoder');
for (const layout of ['kohya', 'diffusers'] as const)
  await writeFileAtomic(
    join(folder, `lora.${layout}.safetensors`),
    writeLora(factors, { layout, unet: ldmUNet(unet), text }),
  );

const inversion = await createTextualInversionTrainee({
  engine,
  checkpoint,
  tokenizer,
  token: '<cat>',
  initializer: 'cat',
  vectors: 2,
});
await train(inversion, 2, '');
const embedding = inversion.model();
await writeFileAtomic(
  join(folder, 'learned_embeds.safetensors'),
  writeSafetensors(embedding.entries, embedding.provide, embedding.metadata ? { metadata: embedding.metadata } : {}),
);

const prompts = ['a photo of a <cat> on a table', 'a dog'];
const x = new TorchGenerator(9).randn([2, unet.in_channels, side, side]);
const timesteps = new TorchGenerator(8).randint(0, 1000, [2]);
const noTokens = await loadModel(tiny, {
  engine,
  loras: [{ path: join(folder, 'lora.kohya.safetensors'), scale: 0.75 }],
});
const both = await loadModel(tiny, { engine, embeddings: [join(folder, 'learned_embeds.safetensors')] });
const numbers = { dtype: 'float32', shape: [2], data: Float32Array.from(timesteps.data, Number) } as const;
const contextWithLora = await noTokens.encodePrompts(['a photo of a cat on a table', 'a dog']);
const ids = both.tokenize(prompts).ids;
const results: Readonly<Record<string, Tensor>> = {
  x,
  timesteps,
  'lora.context': contextWithLora,
  'lora.out': await noTokens.predict({ x, timesteps: numbers, context: contextWithLora }),
  'plain.out': await plain.predict({ x, timesteps: numbers, context: contextWithLora }),
  'inversion.ids': ids,
  'inversion.context': await both.encodePrompts(prompts),
};
await writeFileAtomic(
  join(folder, 'results.safetensors'),
  writeSafetensors(
    Object.entries(results).map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    ({ name }) => results[name] as Tensor,
  ),
);
await engine.dispose();
