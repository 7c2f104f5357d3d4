/**
 * Weights to begin training from nothing: the distributions of PyTorch's constructors and of the original classes (`zero_module` of the
 * UNet, `_init_weights` of transformers' CLIP, taming's codebook and `weights_init` of its discriminator), by name and shape.
 *
 * Every parameter has a generator of its own, from the seed and its name, so that its values depend on nothing else.
 */

import { StableDiffusionError } from '../../errors.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { mixSeed } from '../data/sample-order.ts';

export interface WantedParameter {
  readonly name: string;
  readonly shape: Shape;
}

type Distribution =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly mean?: number; readonly std: number }
  | { readonly kind: 'uniform'; readonly bound: number };

const constant = (value: number): Distribution => ({ kind: 'constant', value });
const normal = (std: number, mean = 0): Distribution => ({ kind: 'normal', std, mean });

/** Layers initialised with zeros: the last of each residual branch of the UNet, and its output. */
const zeroed =
  /(?:^|\.)(?:out_layers\.3|proj_out|(?:model\.)?diffusion_model\.out\.2)\.(?:weight|bias)$|^out\.[23]\.(?:weight|bias)$/;

/** transformers' CLIP: `initializer_factor` 1. The number of layers is counted from the names. */
function clipRule(name: string, shape: Shape, layers: number): Distribution | undefined {
  if (!/(?:^|\.)(?:text_model|vision_model)\./.test(name)) return undefined;
  if (/\.(?:token_embedding|position_embedding)\.weight$/.test(name)) return normal(0.02);
  if (name.endsWith('.bias')) return constant(0);
  if (shape.length !== 2) return undefined;
  const width = shape[1] as number;
  const residual = (2 * layers) ** -0.5;
  if (/\.self_attn\.[qkv]_proj\.weight$/.test(name)) return normal(width ** -0.5 * residual);
  if (name.endsWith('.self_attn.out_proj.weight')) return normal(width ** -0.5);
  if (name.endsWith('.mlp.fc1.weight')) return normal((2 * width) ** -0.5);
  if (name.endsWith('.mlp.fc2.weight')) return normal((shape[0] as number) ** -0.5 * residual);
  return undefined;
}

/** Discriminators of taming: convolutions N(0, 0.02), norms N(1, 0.02). */
function discriminatorRule(name: string, shape: Shape): Distribution | undefined {
  if (!/(?:^|\.)discriminator\./.test(name)) return undefined;
  if (name.endsWith('.bias')) return shape.length === 1 && /\.main\.\d+\.bias$/.test(name) ? undefined : constant(0);
  if (/\.(?:loc|scale)$/.test(name)) return constant(name.endsWith('.loc') ? 0 : 1);
  if (!name.endsWith('.weight')) return undefined;
  return shape.length === 4 ? normal(0.02) : normal(0.02, 1);
}

function distributionOf(
  { name, shape }: WantedParameter,
  shapes: ReadonlyMap<string, Shape>,
  layers: number,
): Distribution {
  if (name.endsWith('running_mean') || name.endsWith('num_batches_tracked')) return constant(0);
  if (name.endsWith('running_var')) return constant(1);
  // The zeros of the UNet's transformers; the `proj_out` of an autoencoder's attention is an ordinary convolution.
  const isHead = /^out\.[23]\./.test(name);
  const isConvolution = shapes.get(name.replace(/bias$/, 'weight'))?.length === 4;
  if (zeroed.test(name) && (!isHead || isConvolution) && !/(?:^|\.)(?:encoder|decoder|text_model)\./.test(name))
    return constant(0);
  const special = clipRule(name, shape, layers) ?? discriminatorRule(name, shape);
  if (special) return special;
  if (name.endsWith('quantize.embedding.weight')) return { kind: 'uniform', bound: 1 / (shape[0] as number) };
  if (/(?:token_emb|pos_emb\.emb)\.weight$/.test(name)) return normal(0.02);
  if (/(?:label_emb|(?:^|\.)embedding)\.weight$/.test(name)) return normal(1);
  // `AttentionPool2d` of ADM's classifiers.
  if (name.endsWith('out.2.positional_embedding')) return normal((shape[0] as number) ** -0.5);
  const isBias = name.endsWith('.bias') || name.endsWith('_bias');
  const weight = isBias ? shapes.get(name.replace(/bias$/, 'weight')) : shape;
  if (weight === undefined) return constant(0);
  if (weight.length === 1) return constant(isBias ? 0 : 1);
  if (shape.length === 0) return constant(0);
  // kaiming_uniform with a = sqrt(5), and the same bound for the bias.
  const fanIn = elementCount(weight.slice(1));
  return { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) };
}

function draw(shape: Shape, distribution: Distribution, generator: TorchGenerator): Tensor<'float32'> {
  switch (distribution.kind) {
    case 'constant':
      return tensor('float32', shape, new Float32Array(elementCount(shape)).fill(distribution.value));
    case 'normal':
      return generator.normal(shape, distribution.mean ?? 0, distribution.std);
    case 'uniform':
      return generator.rand(shape, -distribution.bound, distribution.bound);
  }
}

/** FNV-1a of a name, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Initial weights of the parameters of one or more networks, made when read. */
export function initialWeights(
  parameters: Iterable<WantedParameter>,
  seed: number,
  label = 'initial weights',
): WeightSource {
  const shapes = new Map<string, Shape>();
  for (const { name, shape } of parameters) shapes.set(name, shape);
  const layers = new Set(
    [...shapes.keys()].flatMap((name) => /(?:text_model|vision_model)\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? []),
  ).size;
  return {
    label,
    entries: new Map([...shapes].map(([name, shape]) => [name, { name, dtype: 'float32' as const, shape }])),
    async read(name) {
      const shape = shapes.get(name);
      if (!shape) throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${name}.`);
      return draw(
        shape,
        distributionOf({ name, shape }, shapes, layers),
        new TorchGenerator(mixSeed(seed, hashText(name))),
      );
    },
    async close() {},
  };
}
