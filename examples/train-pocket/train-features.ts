/**
 * The network that the pocket model is measured with where there is no Inception or OpenAI's CLIP: a very small CLIP (Radford et al. 2021),
 * trained here on the same emoji and their names. Its numbers compare models on these pictures, and say nothing beside other networks' numbers.
 *
 *     node --import ./tools/typescript.mjs examples/train-pocket/train-features.ts data/pictures features.safetensors [steps] [threads]
 *
 * The file has the names of transformers' CLIPModel, so that `sd eval --features` takes it as any other CLIP.
 */

import { existsSync } from 'node:fs';
import { clipTextConfigSchema, clipVisionConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import {
  add,
  constant,
  div,
  exp,
  log,
  matmul,
  mean,
  mul,
  sqrt,
  sub,
  sum,
  transpose,
} from '../../src/graph/functions.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { clipImageTensor } from '../../src/image/clip-image.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { crop, flatten, type Image } from '../../src/image/image.ts';
import { resize } from '../../src/image/resize.ts';
import { clipText } from '../../src/models/clip-text.ts';
import { clipVisionTransformer, visualProjection } from '../../src/models/clip-vision.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import { warmUpCosine } from '../../src/training/step/learning-rate.ts';
import { createTrainStep } from '../../src/training/step/create-train-step.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { joined } from '../../src/weights/view.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';

const [folder, out, stepsGiven = '600', threads = '2'] = process.argv.slice(2);
if (folder === undefined || out === undefined)
  throw new Error('Usage: train-features.ts PICTURES OUT.safetensors [steps] [threads]');
if (existsSync(out)) {
  console.log(`${out} is there.`);
  process.exit(0);
}
const steps = Number(stepsGiven);
const [batch, side, tokens] = [64, 128, 77];

const vision = clipVisionConfigSchema.parse({
  kind: 'clip_vision',
  hidden_size: 128,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_channels: 3,
  image_size: side,
  patch_size: 16,
  projection_dim: 128,
  with_projection: true,
});
const text = clipTextConfigSchema.parse({
  kind: 'clip_text',
  vocab_size: 8192,
  hidden_size: 128,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: tokens,
  projection_dim: 128,
  with_projection: true,
  eos_token_id: 8191,
  bos_token_id: 8190,
  pad_token_id: 8191,
});

const unit = (x: Sym): Sym => div(x, sqrt(sum(mul(x, x), [1], { keepDims: true })));

const graph = trace(
  { pixels: { dtype: 'float32', shape: [batch, 3, side, side] }, ids: { dtype: 'int64', shape: [batch, tokens] } },
  ({ pixels, ids }, p) => {
    const pooled = clipVisionTransformer(p.at('vision_model'), vision, pixels as Sym).pooled;
    const pictures = unit(visualProjection(p, pooled, vision.hidden_size, vision.projection_dim));
    const texts = unit(clipText(p, text, ids as Sym).textEmbeds as Sym);
    const logits = mul(matmul(pictures, texts, { transposeB: true }), exp(p.get('logit_scale', [])));
    // Each picture among all texts of the batch, and each text among all pictures.
    const eye = constant(
      logits,
      float32(
        [batch, batch],
        Float32Array.from({ length: batch * batch }, (_, i) => (i % (batch + 1) === 0 ? 1 : 0)),
      ),
    );
    const right = sum(mul(logits, eye), [1]);
    const among = (scores: Sym): Sym => mean(sub(log(sum(exp(scores), [1])), right));
    return { loss: mul(add(among(logits), among(transpose(logits, [1, 0]))), 0.5) };
  },
);

const source = await imageFolder(folder, { problems: createProblems(({ message }) => console.warn(message)) });
const pictures: { readonly image: Image<3>; readonly captions: readonly string[] }[] = [];
for (let i = 0; i < source.count; i++) {
  const sample = await source.read(i);
  if (sample && 'image' in sample && sample.captions.length > 0)
    pictures.push({ image: flatten(await nodeImageCodec.decode(sample.image)), captions: sample.captions });
}
console.log(`${pictures.length} pictures with captions`);

/** A piece of at least three quarters of the side. */
function varied(image: Image<3>, generator: TorchGenerator): Image<3> {
  const size = generator.integer(Math.ceil(0.75 * side), side + 1);
  const [left, top] = [generator.integer(0, side - size + 1), generator.integer(0, side - size + 1)];
  return resize(crop(image, left, top, size, size), side, side, 'bilinear');
}

const tokenizer = createClipTokenizer({ vocabSize: text.vocab_size });
const generator = new TorchGenerator(23);
function draw(): Record<string, Tensor> {
  const chosen = [...generator.randperm(pictures.length).slice(0, batch)].map(
    (i) => pictures[i] as (typeof pictures)[number],
  );
  const captions = chosen.map(({ captions: all }) => all[generator.integer(0, all.length)] as string);
  return {
    pixels: clipImageTensor(
      chosen.map(({ image }) => varied(image, generator)),
      { size: side },
    ),
    ids: int64(
      [batch, tokens],
      captions.flatMap((caption) => [...tokenizer.tokenize(caption, { length: tokens }).ids]),
    ),
  };
}

const parameters = graph.parameters.map(({ name, value }) => ({ name, shape: value.shape.map(Number) }));
const fresh = initialWeights(
  parameters.filter(({ name }) => name !== 'logit_scale'),
  23,
);
const weights = joined(
  [fresh, memoryWeights(new Map([['logit_scale', float32([], [Math.log(1 / 0.07)])]]))],
  'initial weights',
);
const engine = createNodeEngine({ threads: Number(threads) });
const step = await createTrainStep({
  engine,
  graph,
  weights,
  clipNorm: 1,
  optimiser: { kind: 'adamw', betas: [0.9, 0.98] },
  treatment: () => ({ weightDecay: 0.05 }),
  average: { decay: 0.99 },
});
const schedule = warmUpCosine({ warm_up_steps: 50, lr_min: 0.02, lr_max: 1, lr_start: 0.01, max_decay_steps: steps });
let sumOfLosses = 0;
for (let i = 0; i < steps; i++) {
  sumOfLosses += (await step.run(draw(), { learningRate: 1e-3 * schedule(i) })).loss;
  if ((i + 1) % 20 !== 0) continue;
  console.log(
    `step ${i + 1} of ${steps}: loss ${(sumOfLosses / 20).toFixed(3)} (chance ${Math.log(batch).toFixed(2)})`,
  );
  sumOfLosses = 0;
}

const averages = await step.averages();
const named = new Map(Object.entries(averages).map(([name, value]) => [name.replace(/^transformer\./, ''), value]));
const entries = [...named].map(([name, { shape }]) => ({ name, dtype: 'float32' as const, shape }));
await writeFileAtomic(
  out,
  writeSafetensors(entries, ({ name }) => named.get(name) as Tensor, {
    metadata: {
      description: 'A very small CLIP trained on Fluent emoji and their names, for measuring the pocket model',
    },
  }),
);
await step.dispose();
await engine.dispose();
console.log(out);
