/** Additions to the UNet that A1111's users know: FreeU, seamless tiling, hypernetworks, token merging, on one call of the network. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hypernetworkWeights, readHypernetwork } from '../../../src/adapters/hypernetwork.ts';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { type KlConfig, networkConfigSchema, type UNetConfig } from '../../../src/config/network-config.ts';
import type { Extension } from '../../../src/extensions/extension.ts';
import { fourierFilter, freeU } from '../../../src/extensions/free-u.ts';
import { hypernetwork } from '../../../src/extensions/hypernetwork.ts';
import { seamless, type SeamlessAxes } from '../../../src/extensions/seamless.ts';
import { matchTokens, tokenFields, tokenMerging } from '../../../src/extensions/token-merging.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { type Sym, trace } from '../../../src/graph/trace.ts';
import { NetworkSet, runForOne } from '../../../src/model/network-set.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { joined } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

interface Case {
  readonly recorded: RecordedCase;
  readonly inputs: Tensors;
  readonly wanted: Tensors;
  readonly compare: Comparisons;
}

const floats = (tensors: Tensors, name: string): Tensor<'float32'> => toFloat32(pick(tensors, name));

function check({ recorded, wanted, compare }: Case, output: string, got: Tensor | undefined): void {
  compare.tensor(output, got, pick(wanted, output), (recorded.row['outputs'] as Recorded)[output].atol ?? 0);
}

/** The UNet of the case with extensions, on its inputs. */
async function unetWith(
  { recorded, inputs }: Case,
  extensions: readonly Extension[],
  further: readonly WeightSource[] = [],
): Promise<Tensor> {
  const path = join(recorded.setFolder, String((recorded.row['weights'] as Recorded).unet));
  const yaml = join(dirname(path), 'config.yaml');
  const config = networkConfigSchema.parse(parseModelConfig(readFileSync(yaml, 'utf8'), yaml)) as UNetConfig;
  const own = canonicalWeights(memoryWeights(readTensors(path)), config).source;
  const x = floats(inputs, 'x');
  const [, , height = 0, width = 0] = x.shape;
  await using set = new NetworkSet({
    label: 'UNet',
    engine: parityEngine(),
    networks: new Map([
      ['unet', { config, weights: joined([own, ...further], 'UNet'), extensions, size: [height, width] as const }],
    ]),
  });
  const given = { x, timesteps: floats(inputs, 'timesteps'), context: floats(inputs, 'context') };
  return runForOne(set, { network: 'unet', output: 'out' }, given);
}

/** Runs a graph of one input. */
async function runGraph(graph: Graph, x: Tensor): Promise<Readonly<Record<string, Tensor>>> {
  await using program = await parityEngine().compile(graph, memoryWeights(new Map()));
  return program.run({ x });
}

function graphOn(x: Tensor, body: (x: Sym) => Readonly<Record<string, Sym>>): Graph {
  return trace({ x: { dtype: 'float32', shape: x.shape } }, ({ x: given }) => body(given as Sym));
}

async function compareFreeU(one: Case): Promise<void> {
  check(one, 'out.none', await unetWith(one, []));
  const { variants, ...other } = settingsOf(one.recorded);
  for (const [name, factors] of Object.entries<Recorded>(variants))
    check(one, `out.${name}`, await unetWith(one, [freeU(factors)]));
  const scales = new Map(
    [...String(other['filter.tK']).matchAll(/([\d.]+) \(t(\d+)\)/g)].map(([, scale, threshold]) => [
      Number(threshold),
      Number(scale),
    ]),
  );
  const x = floats(one.inputs, 'x');
  for (const [threshold, scale] of scales) {
    const made = await runGraph(
      graphOn(x, (given) => ({ out: fourierFilter(given, threshold, scale) })),
      x,
    );
    check(one, `filter.t${threshold}`, made['out']);
  }
}

async function compareTiling(one: Case): Promise<void> {
  const { recorded, inputs, wanted } = one;
  const folder = recorded.setFolder;
  const vae = String((recorded.row['weights'] as Recorded).vae);
  const json = join(folder, vae.replace(/safetensors$/, 'json'));
  const raw = { ...JSON.parse(readFileSync(json, 'utf8')), _class_name: 'AutoencoderKL' };
  const config = huggingFaceNetwork(raw, json) as KlConfig;
  const weights = canonicalWeights(memoryWeights(readTensors(join(folder, vae))), config).source;
  for (const output of wanted.keys()) {
    const [part = '', mode = ''] = output.split('.');
    const axes = mode === 'none' ? undefined : ((mode === 'xy' ? 'both' : mode) as SeamlessAxes);
    if (part === 'unet') {
      check(one, output, await unetWith(one, axes ? [seamless(axes)] : []));
      continue;
    }
    await using set = new NetworkSet({
      label: 'VAE',
      engine: parityEngine(),
      networks: new Map([['vae', { config, weights, seamless: axes }]]),
    });
    const made =
      part === 'decode'
        ? await runForOne(set, { network: 'vae', graph: 'decode', output: 'decoded' }, { z: floats(inputs, 'z') })
        : await runForOne(
            set,
            { network: 'vae', graph: 'encode', output: 'moments' },
            { image: floats(inputs, 'image') },
          );
    check(one, output, made);
  }
}

async function compareHypernetworks(one: Case): Promise<void> {
  const { recorded, inputs, wanted } = one;
  const opened = new Map<string, WeightSource>();
  const open = async (name: string, prefix: string) => {
    const source = opened.get(name) ?? (await openWeightsAt(join(recorded.folder, `${name}.pt`)));
    opened.set(name, source);
    const file = readHypernetwork(source);
    return { file, weights: hypernetworkWeights(file, prefix), prefix };
  };
  for (const output of wanted.keys()) {
    const [, kind = '', names = ''] = /^(unet|k|v)\.(.*)$/.exec(output) ?? [];
    const [list = '', strength] = names.split(' at ');
    const used =
      list === 'none' ? [] : await Promise.all(list.split(' + ').map((name, i) => open(name, `hypernetwork${i}`)));
    // In the recording the second of two acts at half its strength.
    const extensions = used.map(({ file, prefix }, i) =>
      hypernetwork(file, Number(strength ?? (i === 0 ? 1 : 0.5)), prefix),
    );
    if (kind === 'unet') {
      check(
        one,
        output,
        await unetWith(
          one,
          extensions,
          used.map(({ weights }) => weights),
        ),
      );
      continue;
    }
    // The module alone: what it makes of the context for keys or for values.
    const x = floats(inputs, 'context');
    const graph = trace({ x: { dtype: 'float32', shape: x.shape } }, ({ x: given }, p) => {
      const hooks = extensions[0]?.hooks({} as UNetConfig, {});
      const site = { kind: 'cross', p, heads: 1, level: 0, part: 'down' } as const;
      return { out: hooks?.attentionContext?.(given as Sym, kind === 'k' ? 'key' : 'value', site) as Sym };
    });
    await using program = await parityEngine().compile(graph, used[0]?.weights as WeightSource);
    check(one, output, (await program.run({ x }))['out']);
  }
  for (const source of opened.values()) await source.close();
}

async function compareMatching(one: Case): Promise<void> {
  const { inputs, wanted } = one;
  for (const output of wanted.keys()) {
    const [, height, width, ratio, kind] = /^order\.(\d+)x(\d+)\.([\d.]+)\.(\w+)$/.exec(output) ?? [];
    if (kind === undefined) continue;
    const name = `${height}x${width}.${ratio}`;
    const x = floats(inputs, `x.${name}`);
    const choice = wanted.get(`choice.${name}.${kind}`);
    const own = tokenFields(Number(height), Number(width), 2, 2, choice?.data as never);
    const order = Array.from(pick(wanted, output).data, Number);
    const count = own.destinations.length;
    const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
    one.compare.exact(
      output,
      [sorted(own.destinations), sorted(own.sources)],
      [sorted(order.slice(0, count)), sorted(order.slice(count))],
    );
    if (choice) one.compare.exact(`choice.${name}.${kind}`, choice.data.length, count);
    const fields = { destinations: order.slice(0, count), sources: order.slice(count) };
    const merged = Math.min(fields.sources.length, Math.trunc(Number(height) * Number(width) * Number(ratio)));
    const graph = graphOn(x, (given) => {
      const match = matchTokens(given, fields, merged);
      const made = match.merge(given);
      return { merged: made, unmerged: match.unmerge(made) };
    });
    const made = await runGraph(graph, x);
    for (const part of ['merged', 'unmerged']) check(one, `${part}.${name}.${kind}`, made[part]);
  }
}

async function compareMergingUNet(one: Case): Promise<void> {
  check(one, 'out.none', await unetWith(one, []));
  for (const [name, options] of Object.entries<Recorded>(settingsOf(one.recorded)['variants {ratio: options}'])) {
    const extension = tokenMerging({
      ratio: Number.parseFloat(name),
      crossAttention: options.merge_crossattn,
      feedForward: options.merge_mlp,
      maxDownsample: options.max_downsample,
      fieldWidth: options.sx,
      fieldHeight: options.sy,
    });
    check(one, `out.${name}`, await unetWith(one, [extension]));
  }
}

const kinds: readonly (readonly [original: RegExp, compare: (one: Case) => Promise<void>])[] = [
  [/enable_freeu/, compareFreeU],
  [/apply_circular/, compareTiling],
  [/hypernetworks\.hypernetwork/, compareHypernetworks],
  [/bipartite_soft_matching/, compareMatching],
  [/tomesd\.apply_patch/, compareMergingUNet],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([original]) => original.test(originalOf(row)));

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'a1111' && kindOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => {
    const { folder, row } = recorded;
    const inputs = readTensors(join(folder, 'inputs.safetensors'));
    const wanted = readTensors(join(folder, 'outputs.safetensors'));
    await kindOf(row)?.[1]({ recorded, inputs, wanted, compare });
  }),
};
