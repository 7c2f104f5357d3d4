/**
 * Files of A1111's hypernetworks (`.pt`, modules/hypernetworks/hypernetwork.py, v1.10.1): for each width of context two modules, for keys and for
 * values, whose layers are numbered with activations, norms and dropouts between.
 */

import { StableDiffusionError } from '../errors.ts';
import { withNames } from '../weights/view.ts';
import type { MetadataValue, WeightSource } from '../weights/weight-source.ts';

export const hypernetworkActivations = [
  'linear',
  'relu',
  'leakyrelu',
  'elu',
  'swish',
  'hardswish',
  'tanh',
  'sigmoid',
  'gelu',
  'mish',
  'softsign',
  'silu',
  'softplus',
  'relu6',
  'hardtanh',
  'hardsigmoid',
  'selu',
  'celu',
] as const;
export type HypernetworkActivation = (typeof hypernetworkActivations)[number];

export type HypernetworkLayer =
  | { readonly kind: 'linear'; readonly name: string; readonly out: number }
  | { readonly kind: 'norm'; readonly name: string }
  | { readonly kind: 'activation'; readonly name: HypernetworkActivation };

export interface HypernetworkFile {
  readonly label: string;
  /** Layers by the width of the context that they change. */
  readonly modules: ReadonlyMap<number, readonly HypernetworkLayer[]>;
  readonly weights: WeightSource;
}

const keyPattern = /^(\d{1,6})\/([01])\/(linear\.?\d{1,3})\.(weight|bias)$/;

function refuse(label: string, message: string): never {
  throw new StableDiffusionError('file-unsupported', `${label}: ${message}`);
}

/** The widths of a file's contexts. */
function widthsOf({ entries }: WeightSource): Set<number> {
  return new Set([...entries.keys()].flatMap((name) => keyPattern.exec(name)?.[1] ?? []).map(Number));
}

/** True for the tensors of a hypernetwork. */
export function isHypernetwork(source: WeightSource): boolean {
  return source.entries.size > 0 && [...source.entries.keys()].every((name) => keyPattern.test(name));
}

function activationOf(label: string, value: MetadataValue | undefined): HypernetworkActivation {
  if (value === undefined || value === null) return 'linear';
  const name = hypernetworkActivations.find((one) => one === value);
  return (
    name ??
    refuse(label, `its activation ${String(value)} is unknown; known are ${hypernetworkActivations.join(', ')}.`)
  );
}

/** The layers of one module in their order: a matrix is a linear layer, a vector a norm; activations lie between by the file's settings. */
function layersOf(source: WeightSource, width: number): HypernetworkLayer[] {
  const { label, entries, metadata } = source;
  const activation = activationOf(label, metadata?.get('activation_func'));
  const activatesOutput = metadata?.get('activate_output') ?? true;
  const named = [...entries.values()].flatMap(({ name, shape }) => {
    const [, found, module, layer, kind] = keyPattern.exec(name) ?? [];
    return Number(found) === width && module === '0' && kind === 'weight' && layer !== undefined
      ? [{ layer, shape }]
      : [];
  });
  const numbered = named
    .map(({ layer, shape }) => ({ layer, shape, number: Number(layer.replace(/^linear\.?/, '')) }))
    .sort((a, b) => a.number - b.number);
  const last = numbered.findLastIndex(({ shape }) => shape.length === 2);
  return numbered.flatMap(({ layer, shape }, i): HypernetworkLayer[] => {
    if (shape.length === 1) return [{ kind: 'norm', name: layer }];
    const [out = 0] = shape;
    const active = activation !== 'linear' && (i < last || activatesOutput === true);
    return [
      { kind: 'linear', name: layer, out },
      ...(active ? [{ kind: 'activation', name: activation } as const] : []),
    ];
  });
}

/** Throws `file-unsupported` for a file that is none, or whose activation is unknown. */
export function readHypernetwork(source: WeightSource): HypernetworkFile {
  if (!isHypernetwork(source))
    refuse(
      source.label,
      `it is not a hypernetwork. Its first tensors are ${[...source.entries.keys()].slice(0, 3).join(', ')}.`,
    );
  const modules = new Map([...widthsOf(source)].map((width) => [width, layersOf(source, width)]));
  return { label: source.label, modules, weights: source };
}

/** Its weights under the names of the extension with that prefix. */
export function hypernetworkWeights({ weights }: HypernetworkFile, prefix: string): WeightSource {
  return withNames(weights, (name) => renamed(name, prefix));
}

const renamed = (name: string, prefix: string): string => {
  const [, width, module, layer, kind] = keyPattern.exec(name) ?? [];
  return `${prefix}.${width}.${module}.${layer}.${kind}`;
};
