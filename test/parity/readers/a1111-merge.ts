/** A1111's checkpoint merger: every tensor of the result, the file's name, and merges that are refused. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { type MergeMethod, mergeCheckpoints, mergedName } from '../../../src/merging/merge-checkpoints.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { readTensors } from '../../tensors.ts';
import { type Comparison, compareExactly, compareTensors, type Reader } from '../reader.ts';

const name = z.string().nullable();
const variant = z.tuple([z.string(), name, name, z.string(), z.number(), z.boolean(), name, z.string()]);
const rowSchema = z.looseObject({
  settings: z.looseObject({ 'output file names': z.record(z.string(), z.string()) }),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional(), dtype: z.string() })),
});

const methods: Readonly<Record<string, MergeMethod>> = {
  'Weighted sum': 'weighted-sum',
  'Add difference': 'add-difference',
  'No interpolation': 'none',
};

async function* compareMerges(row: unknown, folder: string): AsyncGenerator<Comparison> {
  const { settings, outputs } = rowSchema.parse(row);
  const listed = Object.entries(settings).find(([key]) => key.startsWith('variants'))?.[1];
  const variants = z.record(z.string(), variant).parse(listed);
  const wanted = readTensors(join(folder, 'outputs.safetensors'));
  const opened: WeightSource[] = [];
  const open = async (file: string | null): Promise<WeightSource | undefined> => {
    if (file === null) return undefined;
    const source = await openWeightsAt(join(folder, `${file}.safetensors`));
    opened.push(source);
    return source;
  };
  for (const [title, [a, b, c, method, ratio, half, vae, discard]] of Object.entries(variants)) {
    const kind = methods[method];
    const first = await open(a);
    if (!kind || !first) throw new Error(`unknown method ${method}`);
    const merged = mergeCheckpoints({
      a: first,
      b: await open(b),
      c: await open(c),
      method: kind,
      ratio,
      half,
      vae: await open(vae),
      discard: discard === '' ? undefined : new RegExp(discard),
    });
    const names = { a, b: b ?? undefined, c: c ?? undefined };
    const file = `${mergedName(names, { method: kind, ratio, kind: merged.kind })}.safetensors`;
    yield compareExactly(`${title} file name`, file, settings['output file names'][title]);
    const recorded = Object.keys(outputs).filter((key) => key.startsWith(`${title}|`));
    const kept = recorded.map((key) => key.slice(title.length + 1)).sort();
    yield compareExactly(`${title} names`, [...merged.weights.entries.keys()].sort(), kept);
    for (const key of recorded) {
      const want = wanted.get(key);
      if (!want) throw new Error(`${key} is not recorded`);
      const got = await merged.weights.read(key.slice(title.length + 1));
      yield compareExactly(`${key} type`, got.dtype, outputs[key]?.dtype);
      yield compareTensors(key, got, want, outputs[key]?.atol ?? 0);
    }
    await Promise.all(opened.splice(0).map((source) => source.close()));
  }
}

/** Whether merging two files beside this case, named by `A=… B=…`, throws. */
async function* compareRefusals(folder: string): AsyncGenerator<Comparison> {
  const values = z
    .record(z.string(), z.looseObject({ raises: z.boolean() }))
    .parse(JSON.parse(readFileSync(join(folder, 'values.json'), 'utf8')));
  const files: Readonly<Record<string, string>> = { normal: 'A', inpaint: 'inpaint', ip2p: 'ip2p' };
  for (const [pair, { raises }] of Object.entries(values)) {
    const [, a = '', b = ''] = /^A=(\S+) B=(\S+)$/.exec(pair) ?? [];
    const [first, second] = await Promise.all(
      [a, b].map((kind) => openWeightsAt(join(folder, '..', `${files[kind] ?? kind}.safetensors`))),
    );
    if (!first || !second) throw new Error(`${pair} names no files`);
    let refused = false;
    try {
      mergeCheckpoints({ a: first, b: second, method: 'weighted-sum', ratio: 0.5 });
    } catch {
      refused = true;
    }
    yield compareExactly(pair, refused, raises);
    await Promise.all([first.close(), second.close()]);
  }
}

export const reader: Reader = {
  set: 'control',
  reads: ({ reference }) => String(reference).includes('run_modelmerger'),
  async *compare({ row, folder }) {
    if (row['settings'] === undefined) yield* compareRefusals(folder);
    else yield* compareMerges(row, folder);
  },
};
