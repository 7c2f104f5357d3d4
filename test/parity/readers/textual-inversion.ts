/** Textual inversion files of every form, and the text encoder with their vectors as further tokens. */

import { readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import * as z from 'zod';
import { readEmbeddings, withEmbeddings } from '../../../src/adapters/textual-inversion.ts';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { type ClipTextConfig, networkConfigSchema } from '../../../src/config/network-config.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { forward } from '../../../src/model/forward.ts';
import { convert } from '../../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  files: z.record(z.string(), z.number()),
  outputs: z.object({ embedding: z.object({ atol: z.number() }), last_hidden_state: z.object({ atol: z.number() }) }),
  /** The text encoder's weights; its configuration lies beside them. */
  weights_from: z.string(),
});

/** What a file of this name holds of the recorded vectors, and the token that it names: diffusers' files state it, the others are named after it. */
function expectationOf(file: string, embedding: Tensor<'float32'>): { readonly token: string; readonly want: Tensor } {
  const ofDiffusers = file.startsWith('learned_embeds');
  const token = ofDiffusers ? '<my-style>' : basename(file, extname(file));
  const width = Number(embedding.shape[1]);
  if (ofDiffusers && file.endsWith('.bin'))
    return { token, want: float32([1, width], embedding.data.subarray(0, width)) };
  if (file.includes('_half')) return { token, want: convert(convert(embedding, 'float16'), 'float32') };
  return { token, want: embedding };
}

async function embeddingsAt(path: string, token?: string) {
  const source = await openWeightsAt(path);
  try {
    return await readEmbeddings(source, { token });
  } finally {
    await source.close();
  }
}

export const reader: Reader = {
  set: 'networks',
  reads: ({ files, weights_from, outputs }) =>
    weights_from !== undefined && 'embedding' in Object(outputs) && 'inputs.safetensors' in Object(files),
  compare: collecting(async ({ row, folder }, compare) => {
    const { files, outputs, weights_from } = rowSchema.parse(row);
    const recorded = readTensors(join(folder, 'outputs.safetensors'));
    const embedding = pick(recorded, 'embedding') as Tensor<'float32'>;
    const embeddingFiles = Object.keys(files).filter((name) => !/^(in|out)puts\./.test(name));
    for (const file of embeddingFiles) {
      const [found, ...others] = await embeddingsAt(join(folder, file));
      const { token, want } = expectationOf(file, embedding);
      compare.exact(`${file}: token, further embeddings`, [found?.token, others.length], [token, 0]);
      compare.tensor(`${file}: vectors`, found?.vectors, want, 0);
      const [named] = await embeddingsAt(join(folder, file), 'other');
      compare.exact(`${file}: another token`, named?.token, 'other');
    }
    const whole = embeddingFiles.find((file) => !/_half|\.bin$/.test(file)) ?? '';
    const [first] = await embeddingsAt(join(folder, whole), '<my-style>');
    compare.tensor('embedding', first?.vectors, embedding, outputs.embedding.atol);

    const weightsPath = join(folder, weights_from);
    const configPath = join(dirname(weightsPath), 'config.json');
    const config = networkConfigSchema.parse(
      parseModelConfig(readFileSync(configPath, 'utf8'), configPath),
    ) as ClipTextConfig;
    const encoder = canonicalWeights(memoryWeights(readTensors(weightsPath)), config).source;
    const extended = withEmbeddings(encoder, config, first ? [first] : []);
    const ids = Array.from({ length: Number(embedding.shape[0]) }, (_, i) => config.vocab_size + i);
    compare.exact('placeholders', extended.placeholders, [{ token: '<my-style>', ids }]);
    const got = await forward({
      engine: parityEngine(),
      config: extended.config,
      weights: extended.source,
      inputs: readTensors(join(folder, 'inputs.safetensors')),
    });
    const output = 'last_hidden_state';
    compare.tensor(output, got.get(output), pick(recorded, output), outputs[output].atol);
  }),
};
