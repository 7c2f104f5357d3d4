/** `sd merge`: makes one checkpoint of two or three, as A1111's checkpoint merger does. */

import { join } from 'node:path';
import { detectNetwork } from '../../checkpoints/detect.ts';
import { notWanted } from '../../checkpoints/what-source-is.ts';
import { StableDiffusionError } from '../../errors.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { blockRatios } from '../../merging/block-ratios.ts';
import { mergeCheckpoints, mergedName, mergeMethods } from '../../merging/merge-checkpoints.ts';
import { fileStem } from '../../adapters/textual-inversion.ts';
import { withNames } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { defineCommand } from '../command.ts';
import { writeWeights } from '../convert-files.ts';
import { createProgress } from '../progress.ts';
import { choice, flag, number, text, UsageError } from '../options.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

const options = {
  method: choice(
    ['--method'],
    mergeMethods,
    'weighted-sum: (1 - ratio) A + ratio B; add-difference: A + ratio (B - C); slerp: along the arc from A to B, so that its length stays; none: A alone (default: by the number of files)',
  ),
  ratio: number(['--ratio', '--multiplier'], 'share of B, or factor of the difference (default: 0.5)', {
    min: -10,
    max: 10,
  }),
  blockRatios: text(
    ['--block-ratios'],
    'LIST',
    "25 numbers, the ratios of the UNet's blocks IN00 to IN11, M00, OUT00 to OUT11; the rest has --ratio",
  ),
  half: flag(['--half'], 'write merged float32 tensors as float16'),
  vae: text(['--vae'], 'FILE', "bake in this file's autoencoder"),
  discard: text(['--discard'], 'REGEX', 'leave out tensors whose names match'),
  output: text(
    ['--output', '-o'],
    'FILE',
    'path of the result (default: A1111\'s name, such as "0.5(A) + 0.5(B).safetensors")',
  ),
  force: flag(['--force'], 'replace an existing file'),
};

/** Numbers separated by commas. */
function numbersOf(list: string): number[] {
  return list.split(',').map((word) => {
    const value = Number(word);
    if (word.trim() === '' || !Number.isFinite(value))
      throw new UsageError(`--block-ratios must be numbers separated by commas, got "${word}".`);
    return value;
  });
}

function patternOf(discard: string): RegExp {
  try {
    return new RegExp(discard);
  } catch {
    throw new UsageError(`--discard must be a regular expression, got "${discard}".`);
  }
}

/** An autoencoder in another layout, as diffusers has it, under CompVis's names. */
function detectAutoencoder(source: WeightSource): WeightSource | undefined {
  try {
    const { config, source: weights } = detectNetwork(source);
    return config.kind === 'kl' || config.kind === 'vq' ? weights : undefined;
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'model-unknown') return undefined;
    throw error;
  }
}

/** An autoencoder's tensors under bare names, from a file of its own or from a whole checkpoint. */
function bareAutoencoder(source: WeightSource): WeightSource {
  const prefix = partPrefixes.first_stage;
  const isWhole = [...source.entries.keys()].some((name) => name.startsWith(prefix));
  const trained = /^(loss|model_ema\.(decay|num_updates)$)/;
  const bare = withNames(source, (name) => {
    const own = isWhole ? (name.startsWith(prefix) ? name.slice(prefix.length) : undefined) : name;
    return own === undefined || trained.test(own) ? undefined : own;
  });
  if (bare.entries.has('decoder.conv_in.weight') && bare.entries.has('decoder.mid.block_1.conv1.weight')) return bare;
  const found = detectAutoencoder(bare);
  if (!found) throw notWanted(source, 'an autoencoder (VAE)');
  return found;
}

const byCount = ['none', 'weighted-sum', 'add-difference'] as const;
/** Files that each method takes. */
const filesOf = { none: 1, 'weighted-sum': 2, slerp: 2, 'add-difference': 3 } as const;

export const merge = defineCommand({
  description: 'Merges checkpoints of one architecture into a new file. An inpainting model can only be the first.',
  words: '<checkpoint...>',
  options,
  examples: [
    'sd merge A.safetensors B.safetensors --ratio 0.3',
    'sd merge A.safetensors B.safetensors --method slerp --ratio 0.4',
    'sd merge A.safetensors B.safetensors C.safetensors --ratio 1 --half -o merged.safetensors',
    'sd merge model.safetensors --vae vae-ft-mse.safetensors -o baked.safetensors',
  ],
  async run(context, files, values) {
    const method = values.method ?? byCount[files.length - 1];
    const needed = method === undefined ? 0 : filesOf[method];
    if (method === undefined || files.length !== needed)
      throw new UsageError(`A merge by ${method ?? 'add-difference'} needs ${needed || 3} files, got ${files.length}.`);
    const { ratio: base = 0.5, vae, discard } = values;
    const { signal } = context;
    const ratio = values.blockRatios === undefined ? base : blockRatios(numbersOf(values.blockRatios), base);
    const pattern = discard === undefined ? undefined : patternOf(discard);
    const opened: WeightSource[] = [];
    try {
      for (const file of [...files, ...(vae === undefined ? [] : [vae])]) opened.push(await openWeightsAt(file));
      const [a, b, c] = opened.slice(0, files.length);
      if (!a) throw new UsageError('The checkpoint to merge is missing.');
      const baked = vae === undefined ? undefined : opened.at(-1);
      const merged = mergeCheckpoints({
        a,
        b,
        c,
        method,
        ratio,
        half: values.half,
        vae: baked && bareAutoencoder(baked),
        discard: pattern,
      });
      const [nameA = '', nameB, nameC] = files.map(fileStem);
      const named = mergedName({ a: nameA, b: nameB, c: nameC }, { method, ratio: base, kind: merged.kind });
      const progress = createProgress(context.err, context.now, false);
      const onTensor = (done: number, total: number): void => progress.step('tensors', done, total);
      const path = values.output ?? join('.', `${named}.safetensors`);
      await writeWeights(path, merged.weights, { dtype: undefined, signal, onTensor, replace: values.force });
      progress.clear();
      context.out.write(`${path}\n`);
    } finally {
      await Promise.all(opened.map((source) => source.close()));
    }
    return 0;
  },
});
