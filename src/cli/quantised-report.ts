/** What `--precision int8` does to each layer of a network: which are in 8 bits, which stay in higher precision and why, what rounding costs. */

import { throwIfAborted } from '../errors.ts';
import { type LayerReport, quantise } from '../graph/quantise.ts';
import { networkDefinition } from '../models/index.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import { int8Rows } from '../weights/int8-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { TextOutput } from './command.ts';
import type { PartReport } from './inspect-network.ts';

export interface QuantisedLayer extends LayerReport {
  /** Root mean square of what rounding changes in the weights, over that of the weights; undefined for layers in higher precision. */
  readonly error?: number;
  /** Bytes of its weight in a program in int8, with scales, and in float32. */
  readonly bytes: number;
  readonly float32Bytes: number;
}

export interface QuantisedNetwork {
  readonly name: string;
  readonly layers: readonly QuantisedLayer[];
}

/** The graphs that make pictures. A layer is in one of them, or the same in several. */
const graphs = ['forward', 'encode', 'decode'];

/** The report on networks that fit, without those that have no layers. Reads the weights of every layer. */
export async function quantisedNetworks(
  parts: readonly (readonly [part: PartReport, source: WeightSource])[],
  signal: AbortSignal,
): Promise<{ readonly quantised: readonly QuantisedNetwork[] }> {
  const networks: QuantisedNetwork[] = [];
  for (const [part, source] of parts) if (part.fits) networks.push(await quantisedNetwork(part, source, signal));
  return { quantised: networks.filter(({ layers }) => layers.length > 0) };
}

async function quantisedNetwork(
  { name, config }: PartReport,
  source: WeightSource,
  signal: AbortSignal,
): Promise<QuantisedNetwork> {
  const parts = networkDefinition(config).parts(config);
  const found = new Map<string, LayerReport>();
  for (const graph of graphs) {
    const trace = parts[graph];
    for (const layer of trace ? quantise(trace()).layers : []) found.set(layer.weight, layer);
  }
  const layers: QuantisedLayer[] = [];
  for (const layer of found.values()) {
    throwIfAborted(signal);
    const float32Bytes = 4 * elementCount(layer.shape);
    const isQuantised = layer.kept === undefined;
    const bytes = isQuantised ? float32Bytes / 4 + 4 * (layer.shape[0] ?? 0) : float32Bytes;
    const error = isQuantised ? { error: roundingError(await source.read(layer.weight, signal)) } : {};
    layers.push({ ...layer, ...error, bytes, float32Bytes });
  }
  return { name, layers };
}

function roundingError(from: Tensor): number {
  const { data } = toFloat32(from);
  const { weight, scale } = int8Rows(from);
  const length = data.length / scale.data.length;
  let [difference, whole] = [0, 0];
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    difference += (value - (weight.data[i] as number) * (scale.data[Math.floor(i / length)] as number)) ** 2;
    whole += value ** 2;
  }
  return whole === 0 ? 0 : Math.sqrt(difference / whole);
}

const sizeOf = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** The report as lines: one a layer, and for each network what all of it comes to. */
export function printQuantised(out: TextOutput, networks: readonly QuantisedNetwork[]): void {
  for (const { name, layers } of networks) {
    const small = layers.filter(({ kept }) => kept === undefined);
    const [before, after] = [sum(layers.map((layer) => layer.float32Bytes)), sum(layers.map((layer) => layer.bytes))];
    out.write(
      `${name} in int8: ${small.length} of ${layers.length} layers, ${sizeOf(after)} instead of ${sizeOf(before)}\n`,
    );
    const width = Math.max(...layers.map(({ weight }) => weight.length));
    for (const { weight, shape, range, kept, error, bytes } of layers) {
      const what =
        kept === undefined
          ? `int8, a range for each ${range}, weight error ${percent(error ?? 0)}`
          : `higher precision: ${kept}`;
      out.write(`  ${weight.padEnd(width)}  [${shape.join(', ')}]  ${sizeOf(bytes)}  ${what}\n`);
    }
    if (small.length > 0) {
      const mean = Math.sqrt(sum(small.map(({ error = 0 }) => error ** 2)) / small.length);
      out.write(`  weight error of the layers in int8: ${percent(mean)} (root mean square)\n`);
    }
  }
}
