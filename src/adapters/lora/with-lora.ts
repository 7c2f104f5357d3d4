/** LoRA files merged into a network's weights, tensor by tensor when each is read: W + Σ strength · scale · delta, in float32. */

import { conditionerParts } from '../../config/conditioner-parts.ts';
import type { NetworkConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { familyOfContext, refuseOtherFamily } from '../../checkpoints/model-families.ts';
import { aliased, type ViewEntry, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { blockFactor, blockModuleName, type LoraBlockWeights } from './block-weights.ts';
import { biasDelta, deltaSizes, type LoraDelta, weightDelta } from './lora-delta.ts';
import type { LoraFile, LoraModule } from './lora-file.ts';
import type { LoraNetwork } from './lora-keys.ts';
import { type LoraLayer, type LoraTarget, loraLayers } from './lora-modules.ts';
import { asMatrix, type Matrix, transposed } from './matrix-product.ts';

/** A LoRA and how strongly it is applied. */
export interface LoraUse {
  readonly lora: LoraFile;
  /** Strength in the UNet; 1 (default) is the trained strength, negative values subtract. */
  readonly scale?: number;
  /** Strength in the text encoder. Default: as `scale`. */
  readonly textScale?: number;
  /** A factor for each block. Default: none. */
  readonly blocks?: LoraBlockWeights | undefined;
}

/** One change of one tensor. */
interface Change {
  readonly target: LoraTarget;
  readonly strength: number;
  readonly delta: (weight: () => Matrix, signal?: AbortSignal) => Promise<LoraDelta | undefined>;
}

/** A module of a file that found no layer, by its keys. */
const keysOf = (module: LoraModule): string[] => Array.from(module.tensors.values(), ({ name }) => name);

/** Adds a delta into the rows of `out` that are the target's. */
function addInto(
  out: Float32Array,
  rows: number,
  { part, parts, groups, transposed: turned }: LoraTarget,
  { matrix, scale }: LoraDelta,
  strength: number,
): void {
  const { data } = turned ? transposed(matrix) : matrix;
  const factor = strength * scale;
  const columns = out.length / rows;
  const block = (rows / (parts * groups)) * columns;
  for (let group = 0; group < groups; group++) {
    const at = (group * parts + part) * block;
    for (let i = 0; i < block; i++)
      out[at + i] = (out[at + i] as number) + factor * (data[group * block + i] as number);
  }
}

/** The matrix of a layer as LoRA layouts have it. */
function layerOf(tensor: Tensor<'float32'>, { part, parts, groups, transposed: turned }: LoraTarget): Matrix {
  const whole = asMatrix(tensor);
  if (parts === 1) return turned ? transposed(whole) : whole;
  const block = whole.data.length / (parts * groups);
  const data = new Float32Array(block * groups);
  for (let group = 0; group < groups; group++)
    data.set(whole.data.subarray((group * parts + part) * block, (group * parts + part + 1) * block), group * block);
  return { rows: whole.rows / parts, columns: whole.columns, data };
}

/** Rows and columns of that matrix. */
function layerSize(shape: Shape, { parts, transposed: turned }: LoraTarget): readonly [rows: number, columns: number] {
  const rows = shape[0] ?? 0;
  const columns = rows === 0 ? 0 : elementCount(shape) / rows;
  return turned ? [columns, rows] : [rows / parts, columns];
}

function changed(source: WeightSource, name: string, changes: readonly Change[]): ViewEntry {
  const { entry } = aliased(source, name);
  return {
    entry: { ...entry, dtype: 'float32' },
    async read(signal): Promise<Tensor> {
      const base = toFloat32(await source.read(name, signal));
      const out = base.data.slice();
      for (const { target, strength, delta } of changes) {
        const made = await delta(() => layerOf(base, target), signal);
        if (made) addInto(out, entry.shape[0] ?? 1, target, made, strength);
      }
      return tensor('float32', entry.shape, out);
    },
  };
}

/** The mismatches of a file's modules with a model, collected over all modules. */
interface Misfits {
  readonly unknown: string[];
  readonly misshapen: string[];
}

/** The changes a file makes to one network, by tensor. */
function changesOf(
  source: WeightSource,
  layers: ReadonlyMap<string, LoraLayer>,
  { lora, strengthOf }: { lora: LoraFile; strengthOf: (module: LoraModule, target: LoraTarget) => number },
  modules: readonly LoraModule[],
  misfits: Misfits,
): Map<string, Change[]> {
  const changes = new Map<string, Change[]>();
  const note = (target: LoraTarget, module: LoraModule, size: number, delta: Change['delta']): void => {
    const entry = source.entries.get(target.tensor);
    const expected = elementCount(entry?.shape ?? []) / target.parts;
    if (!entry) misfits.unknown.push(...keysOf(module));
    else if (size !== expected)
      misfits.misshapen.push(`${module.name} changes ${size} values of ${target.tensor} [${entry.shape.join(', ')}]`);
    else
      changes.set(target.tensor, [
        ...(changes.get(target.tensor) ?? []),
        { target, strength: strengthOf(module, target), delta },
      ]);
  };
  for (const module of modules) {
    const layer = layers.get(module.name);
    const own = layer && layerSize(source.entries.get(layer.weight.tensor)?.shape ?? [], layer.weight);
    const { weight, bias } = deltaSizes(lora, module, own);
    if (!layer) continue;
    if (weight) {
      const widen = widening(layer.weight.tensor, source.entries.get(layer.weight.tensor)?.shape ?? [], weight);
      note(layer.weight, module, widen?.size ?? weight[0] * weight[1], async (own, signal) => {
        const delta = await weightDelta(lora, module, widen ? () => widen.narrow(own()) : own, signal);
        return widen ? { ...delta, matrix: widen.matrix(delta.matrix) } : delta;
      });
    }
    if (bias !== undefined && !layer.bias) misfits.unknown.push(...keysOf(module));
    if (bias !== undefined && layer.bias)
      note(layer.bias, module, bias, (_, signal) => biasDelta(lora, module, signal));
  }
  return changes;
}

/** The convolution that takes the latents: in inpainting models it takes a mask and a picture as well. */
const inputConvolution = 'input_blocks.0.0.weight';

/** How a change of the first channels of the input convolution becomes one of all of them: zeros for the others, as A1111 1.10 does. */
function widening(
  name: string,
  shape: Shape,
  [rows, columns]: readonly [number, number],
):
  | {
      readonly size: number;
      readonly matrix: (delta: Matrix) => Matrix;
      /** The weight of the first channels alone. */
      readonly narrow: (weight: Matrix) => Matrix;
    }
  | undefined {
  const [out = 0, channels = 0, height = 0, width = 0] = shape;
  const all = channels * height * width;
  if (name !== inputConvolution || rows !== out || columns >= all || columns % (height * width) !== 0) return undefined;
  return {
    size: out * all,
    matrix(delta) {
      const data = new Float32Array(out * all);
      for (let row = 0; row < out; row++) data.set(delta.data.subarray(row * columns, (row + 1) * columns), row * all);
      return { rows: out, columns: all, data };
    },
    narrow(weight) {
      const data = new Float32Array(out * columns);
      for (let row = 0; row < out; row++) data.set(weight.data.subarray(row * all, row * all + columns), row * columns);
      return { rows: out, columns, data };
    },
  };
}

interface Part {
  readonly network: LoraNetwork;
  readonly source: WeightSource;
  readonly layers: ReadonlyMap<string, LoraLayer>;
}

/** Each part with the files merged in. */
function mergeParts(parts: readonly Part[], uses: readonly LoraUse[]): WeightSource[] {
  const all = parts.map(() => new Map<string, Change[]>());
  for (const { lora, scale = 1, textScale = scale, blocks } of uses) {
    if (!Number.isFinite(scale) || !Number.isFinite(textScale))
      throw new StableDiffusionError(
        'invalid-argument',
        `The strength of ${lora.label} is ${scale}; it must be a number.`,
      );
    const misfits: Misfits = { unknown: [...lora.unknown], misshapen: [] };
    const homes = new Map(
      lora.modules.map((module) => [
        module,
        parts.find(({ network, layers }) => (module.network ?? network) === network && layers.has(module.name)),
      ]),
    );
    for (const [module, home] of homes) if (!home) misfits.unknown.push(...keysOf(module));
    for (const [i, part] of parts.entries()) {
      const own = lora.modules.filter((module) => homes.get(module) === part);
      const isUNet = part.network === 'unet';
      const strength = isUNet ? scale : textScale;
      const strengthOf = (module: LoraModule, { tensor: name }: LoraTarget): number => {
        const of = isUNet ? blockModuleName('unet', name) : blockModuleName('text', module.name);
        return blocks ? strength * blockFactor(blocks, of) : strength;
      };
      const made = changesOf(part.source, part.layers, { lora, strengthOf }, own, misfits);
      for (const [name, changes] of made) all[i]?.set(name, [...(all[i]?.get(name) ?? []), ...changes]);
    }
    reportMisfits(lora, misfits);
  }
  return parts.map(({ source }, i) => {
    const changes = all[i];
    if (!changes || changes.size === 0) return source;
    const entries = Array.from(source.entries.keys(), (name) => {
      const own = changes.get(name);
      return own ? changed(source, name, own) : aliased(source, name);
    });
    return weightView(source.label, entries, [source]);
  });
}

function reportMisfits(lora: LoraFile, { unknown, misshapen }: Misfits): void {
  if (unknown.length === 0 && misshapen.length === 0) return;
  const some = (list: readonly string[]): string =>
    `${list.slice(0, 6).join(', ')}${list.length > 6 ? `, and ${list.length - 6} more` : ''}`;
  const parts = [
    ...(unknown.length > 0
      ? [`${unknown.length} of its tensors belong to no layer of this model: ${some(unknown)}.`]
      : []),
    ...(misshapen.length > 0 ? [`${misshapen.length} of its modules have another size: ${some(misshapen)}.`] : []),
  ];
  throw new StableDiffusionError(
    'weights-mismatch',
    `${lora.label} does not fit the model. ${parts.join(' ')} Use it with a model of the architecture it was trained on.`,
    { details: { unknown, misshapen } },
  );
}

/**
 * One network's weights, under canonical names, with LoRAs merged in. Lazy: nothing is read before a changed tensor is. What a file has
 * for the other network is ignored.
 * @throws `weights-mismatch`, naming every key that has no layer in the network, or another size
 */
export function withLora(source: WeightSource, config: NetworkConfig, uses: readonly LoraUse[]): WeightSource {
  const network = config.kind === 'unet' ? 'unet' : 'text';
  const own = uses.map((use) => ({
    ...use,
    lora: { ...use.lora, modules: use.lora.modules.filter((module) => (module.network ?? network) === network) },
  }));
  return mergeParts([{ network, source, layers: loraLayers(config) }], own)[0] ?? source;
}

/** Throws `weights-mismatch`, in one line, for a LoRA of another family than the UNet's. */
export function refuseLora({ label: file, family }: LoraFile, label: string, unet: NetworkConfig): void {
  const context = unet.kind === 'unet' ? unet.context_dim : undefined;
  refuseOtherFamily({ file, what: 'a LoRA', family, model: { label, family: familyOfContext(context) } });
}

/** The networks of a LoRA's text modules, by the order of a model's text encoders. */
const textNetworks = ['text', 'text_2'] as const satisfies readonly LoraNetwork[];

/** A checkpoint with LoRAs merged into its UNet and its text encoders. As `withLora`; a file may change any of them. */
export function checkpointWithLora(checkpoint: Checkpoint, uses: readonly LoraUse[]): Checkpoint {
  if (uses.length === 0) return checkpoint;
  const { unet_config, cond_stage_config } = checkpoint.config;
  for (const { lora } of uses) refuseLora(lora, checkpoint.label, unet_config);
  const encoders = [...conditionerParts(cond_stage_config)].flatMap(([name, config], i) => {
    const [network, source] = [textNetworks[i], checkpoint.parts[name]];
    return network && source ? [{ name, network, source, layers: loraLayers(config) }] : [];
  });
  const parts = [
    { name: 'unet', network: 'unet' as const, source: checkpoint.parts.unet, layers: loraLayers(unet_config) },
    ...encoders,
  ];
  const merged = mergeParts(parts, uses);
  return {
    ...checkpoint,
    parts: {
      ...checkpoint.parts,
      ...Object.fromEntries(parts.map(({ name, source }, i) => [name, merged[i] ?? source])),
    },
    async close() {
      await Promise.all([checkpoint.close(), ...uses.map(({ lora }) => lora.close())]);
    },
  };
}
