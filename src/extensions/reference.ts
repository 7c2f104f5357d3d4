/**
 * Lets a UNet look at another picture, after the reference modes of sd-webui-controlnet (`scripts/hook.py`). Run on the other picture, the
 * network hands out the normed tokens of its self-attentions and mean and variance of its blocks. Run on its own picture, it attends to these
 * tokens too, and brings its features to this mean and variance (adaptive instance normalisation, Huang & Belongie 2017, arXiv 1703.06868).
 */

import type { UNetConfig } from '../config/network-config.ts';
import { addDims, dim, type Dim, multiplyDims } from '../graph/dim.ts';
import { add, concat, div, maximum, mean, mul, reshape, slice, sqrt, sub } from '../graph/functions.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { Attend, AttentionSite } from '../nn/hooks.ts';
import type { Extension } from './extension.ts';

/** A self-attention or a block that can share. A control of a weight above `threshold` uses it. */
export interface SharingSite {
  /** Self-attention: its number, in the order in which the network runs. Block: its path. */
  readonly name: string;
  readonly channels: number;
  readonly threshold: number;
}

export interface SharingSites {
  readonly attentions: readonly SharingSite[];
  readonly blocks: readonly SharingSite[];
}

export const referenceNames = {
  /** Input: tokens float32 [batch, tokens, channels]. */
  tokens: (site: string): string => `reference.tokens.${site}`,
  /** Inputs: float32 [batch, channels]. */
  mean: (site: string): string => `reference.mean.${site}`,
  variance: (site: string): string => `reference.variance.${site}`,
  /** Input: float32 [batch, sites], how strongly each attention, then each block, takes from the other picture. At 0 tokens of zeros serve. */
  share: 'reference.share',
  /** The output that goes into an input. */
  output: (input: string): string => `made.${input}`,
};

const epsilon = 1e-6;

/** SDXL's UNets take a vector. */
export const isXl = ({ adm_in_channels }: UNetConfig): boolean => adm_in_channels !== null;

const at = (value: number | readonly number[], level: number): number =>
  typeof value === 'number' ? value : (value[level] ?? 0);

const isText = ({ disable_self_attentions: off }: UNetConfig, part: string, level: number): boolean =>
  part !== 'middle' && off?.[level] === true;

/** The transformer blocks in the order in which they run. */
function transformers(config: UNetConfig): { readonly level: number; readonly part: AttentionSite['part'] }[] {
  if (!config.use_spatial_transformer) return [];
  const { channel_mult, num_res_blocks, transformer_depth, attention_resolutions } = config;
  const depth = (level: number): number =>
    typeof transformer_depth === 'number' ? transformer_depth : (transformer_depth[level] ?? 1);
  const blocks = (level: number, part: AttentionSite['part'], layers: number): ReturnType<typeof transformers> =>
    Array.from({ length: layers * depth(level) }, () => ({ level, part }));
  const layersAt = (level: number, further: number): number =>
    attention_resolutions.includes(2 ** level) ? at(num_res_blocks, level) + further : 0;
  const last = channel_mult.length - 1;
  const levels = [...channel_mult.keys()];
  return [
    ...levels.flatMap((level) => blocks(level, 'down', layersAt(level, 0))),
    ...blocks(last, 'middle', 1),
    ...levels.reverse().flatMap((level) => blocks(level, 'up', layersAt(level, 1))),
  ];
}

/** The blocks whose statistics are shared: the middle, those of the first half below the largest image, and of the second half. */
function sharingBlocks(config: UNetConfig): SharingSite[] {
  const { channel_mult, num_res_blocks, model_channels } = config;
  const width = (level: number): number => (channel_mult[level] ?? 1) * model_channels;
  const last = channel_mult.length - 1;
  const inputs: { readonly path: string; readonly channels: number }[] = [];
  const outputs: typeof inputs = [];
  let block = 1;
  for (let level = 0; level <= last; level++) {
    for (let i = 0; i < at(num_res_blocks, level); i++, block++)
      if (level > 0) inputs.push({ path: `input_blocks.${block}`, channels: width(level) });
    block += 1;
  }
  block = 0;
  for (let level = last; level > 0; level--)
    for (let i = 0; i <= at(num_res_blocks, level); i++, block++)
      outputs.push({ path: `output_blocks.${block}`, channels: width(level) });
  // Of SD v1 the last of these is left out there, of SDXL it is not.
  if (!isXl(config)) outputs.pop();
  return [
    { name: 'middle_block', channels: width(last), threshold: 0 },
    ...inputs.map(({ path, channels }, i) => ({ name: path, channels, threshold: 2 * (1 - i / inputs.length) })),
    ...outputs.map(({ path, channels }, i) => ({ name: path, channels, threshold: (2 * i) / outputs.length })),
  ];
}

/** All that can share, with the original's thresholds: the widest attentions are the first to act. */
export function sharingSites(config: UNetConfig): SharingSites {
  const all = transformers(config);
  const widths = all.map(({ level }) => (config.channel_mult[level] ?? 1) * config.model_channels);
  const order = [...widths.keys()].sort((a, b) => (widths[b] as number) - (widths[a] as number) || a - b);
  const attentions = all.flatMap(({ level, part }, i) =>
    isText(config, part, level)
      ? []
      : [{ name: String(i), channels: widths[i] as number, threshold: order.indexOf(i) / order.length }],
  );
  return { attentions, blocks: sharingBlocks(config) };
}

/** Mean and biased variance of [b, c, h, w] over the image, [b, c, 1, 1]. */
function statistics(x: Sym): { readonly mean: Sym; readonly variance: Sym } {
  const average = (value: Sym): Sym => mean(value, [2, 3], { keepDims: true });
  const centre = average(x);
  const off = sub(x, centre);
  return { mean: centre, variance: average(mul(off, off)) };
}

interface Reading {
  readonly given: Readonly<Record<string, Sym>>;
  /** The column of a site in the shares. */
  readonly column: (name: string) => number;
}

/** How strongly a site takes, [b, 1, …]. */
function shareOf({ given, column }: Reading, name: string, axes: number): Sym {
  const shares = given[referenceNames.share] as Sym;
  const own = slice(shares, 1, column(name), column(name) + 1);
  return reshape(own, [own.shape[0] ?? 1, ...new Array<Dim>(axes - 1).fill(1)]);
}

const mixed = (own: Sym, other: Sym, share: Sym): Sym => add(own, mul(share, sub(other, own)));

/** Features brought to the mean and variance of the other picture's. */
function normalised(x: Sym, own: ReturnType<typeof statistics>, reading: Reading, path: string): Sym {
  const image = (value: Sym): Sym => reshape(value, [value.shape[0] ?? 1, fixedSize(value, 1), 1, 1]);
  const other = {
    mean: image(reading.given[referenceNames.mean(path)] as Sym),
    variance: image(reading.given[referenceNames.variance(path)] as Sym),
  };
  const deviation = (value: Sym): Sym => sqrt(maximum(value, epsilon));
  const whitened = div(sub(x, own.mean), deviation(own.variance));
  return mixed(x, add(mul(whitened, deviation(other.variance)), other.mean), shareOf(reading, path, 4));
}

/** Self-attention to the image's own tokens and to the other's, which stand behind them. */
function attendToBoth(attend: Attend, reading: Reading, name: string): Attend {
  const tokens = reading.given[referenceNames.tokens(name)] as Sym;
  return (q, k, v) => {
    const both = attend(q, k, v);
    const length = addDims(k.shape[1] ?? 1, multiplyDims(-1, tokens.shape[1] ?? 0));
    const own = attend(q, slice(k, 1, 0, length), slice(v, 1, 0, length));
    return mixed(own, both, shareOf(reading, name, 3));
  };
}

/** The UNet as it looks at another picture: the sites that share, with their inputs and outputs (`referenceNames`). */
export function reference({ attentions, blocks }: SharingSites): Extension {
  const names = [...attentions, ...blocks].map(({ name }) => name);
  const sharing = new Set(names);
  return {
    name: `reference ${names.join()}`,
    inputs() {
      const batch = dim('batch');
      const inputs: Record<string, InputSpec> = {
        [referenceNames.share]: { dtype: 'float32', shape: [batch, names.length] },
      };
      for (const { name, channels } of attentions)
        inputs[referenceNames.tokens(name)] = {
          dtype: 'float32',
          shape: [batch, dim(`reference_tokens_${name}`), channels],
        };
      for (const { name, channels } of blocks)
        for (const input of [referenceNames.mean(name), referenceNames.variance(name)])
          inputs[input] = { dtype: 'float32', shape: [batch, channels] };
      return inputs;
    },
    hooks(config, given) {
      const reading: Reading = { given, column: (name) => names.indexOf(name) };
      const outputs: Record<string, Sym> = {};
      let number = 0;
      const isOwn = ({ kind, part, level }: AttentionSite): boolean =>
        kind === 'self' && !isText(config, part, level) && sharing.has(String(number));
      return {
        attentionContext(context, role, site) {
          if (!isOwn(site)) return context;
          const name = String(number);
          if (role === 'key') outputs[referenceNames.output(referenceNames.tokens(name))] = context;
          return concat([context, given[referenceNames.tokens(name)] as Sym], 1);
        },
        attend(attend, site) {
          if (site.kind !== 'self') return attend;
          const around = isOwn(site) ? attendToBoth(attend, reading, String(number)) : attend;
          number += 1;
          return around;
        },
        block(path, run) {
          const x = run();
          if (!sharing.has(path)) return x;
          const own = statistics(x);
          const flat = (value: Sym): Sym => reshape(value, [value.shape[0] ?? 1, fixedSize(value, 1)]);
          outputs[referenceNames.output(referenceNames.mean(path))] = flat(own.mean);
          outputs[referenceNames.output(referenceNames.variance(path))] = flat(own.variance);
          return normalised(x, own, reading, path);
        },
        outputs: () => outputs,
      };
    },
  };
}
