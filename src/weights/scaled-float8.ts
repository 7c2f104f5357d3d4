/**
 * ComfyUI's scaled float8 (comfy/ops.py `scaled_fp8_ops`): a float8 matrix `NAME.weight` has a scale `NAME.scale_weight` (later files:
 * `NAME.weight_scale`), and the empty tensor `scaled_fp8` marks the file. A weight is the float8 number times the scale. Scales of activations are
 * left out: they serve multiplications in float8 alone.
 */

import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import { aliased, type ViewEntry, weightView } from './view.ts';
import type { WeightSource } from './weight-source.ts';

const scaleNames = ['scale_weight', 'weight_scale'] as const;
const activationNames = ['scale_input', 'input_scale'] as const;
const marker = /(^|\.)scaled_fp8$/;

/** The name of a weight's layer: the weight's name without `weight` at its end. */
const layerOf = (name: string): string | undefined =>
  name.endsWith('.weight') ? name.slice(0, -'weight'.length) : undefined;

/** Weights with their scales, as float32; the source itself where it has no scaled weight. Throws `file-corrupt` for a scale that is no number. */
export function withoutScales(source: WeightSource): WeightSource {
  const { entries, label } = source;
  const scales = new Map<string, string>();
  const left = new Set<string>();
  for (const [name, { dtype }] of entries) {
    const layer = layerOf(name);
    const scale = scaleNames.map((one) => `${layer}${one}`).find((one) => entries.has(one));
    if (layer === undefined || scale === undefined || !dtype.startsWith('float8')) continue;
    if (elementCount(entries.get(scale)?.shape ?? []) !== 1)
      throw new StableDiffusionError('file-corrupt', `${label}: ${scale} should be one number, the scale of ${name}.`);
    scales.set(name, scale);
    for (const one of [scale, ...activationNames.map((own) => `${layer}${own}`)]) left.add(one);
  }
  if (scales.size === 0) return source;
  const tensors = [...entries.keys()].flatMap((name): ViewEntry[] => {
    if (left.has(name) || marker.test(name)) return [];
    const own = aliased(source, name);
    const scale = scales.get(name);
    if (scale === undefined) return [own];
    return [{ entry: { ...own.entry, dtype: 'float32' }, read: (signal) => scaled(source, name, scale, signal) }];
  });
  const view = weightView(label, tensors, [source]);
  return source.metadata ? { ...view, metadata: source.metadata } : view;
}

async function scaled(source: WeightSource, name: string, scaleName: string, signal?: AbortSignal): Promise<Tensor> {
  const [scale = 1] = toFloat32(await source.read(scaleName, signal)).data;
  const made = toFloat32(await source.read(name, signal));
  const { data } = made;
  for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) * scale;
  return made;
}
