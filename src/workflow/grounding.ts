/**
 * GLIGEN in a run: the phrases of an entry in their boxes as objects, which the UNet's gated self-attentions see for that entry alone. After
 * ComfyUI's `GLIGENTextBoxApply` (nodes.py) and `Gligen.set_position` (gligen.py).
 */

import { controlKindName, openControlFile, readControlConfig } from '../checkpoints/control-file.ts';
import type { GligenConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { grounding } from '../extensions/grounding.ts';
import type { NamedNetwork } from '../model/network-set.ts';
import { boxFeatures } from '../models/gligen.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { extendedNetwork } from './network-forms.ts';
import type { NetworkPool } from './network-pool.ts';
import { toBatch } from './sampling/to-batch.ts';
import type { GroundingValue, GroundedPhrases } from './values/grounding.ts';
import type { ModelNetwork, ModelValue } from './values/model.ts';

/** Places for objects that GLIGEN was trained with. */
const mostObjects = 30;

/** GLIGEN of a file, which stays open. Throws `model-unknown` for a file of another network, and closes it. */
export async function groundingOf(file: WeightSource): Promise<GroundingValue> {
  try {
    const config = readControlConfig(file);
    if (config.kind === 'gligen') return { holdsNetworks: true, label: file.label, file };
    throw new StableDiffusionError(
      'model-unknown',
      `${file.label} is not GLIGEN; it is a file of the kind ${controlKindName(config)}.`,
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

interface Opened {
  readonly positions: NamedNetwork & { readonly config: GligenConfig };
  readonly gates: WeightSource;
  /** UNets with the gates, by the UNet. */
  readonly grounded: WeakMap<NamedNetwork, NamedNetwork>;
}

const opened = new WeakMap<WeightSource, WeakMap<object, Opened>>();

function openedFor({ file }: GroundingValue, { label, network }: ModelValue): Opened {
  const known = opened.get(file) ?? new WeakMap<object, Opened>();
  opened.set(file, known);
  const own = known.get(network.config);
  if (own) return own;
  const { config, weights, attention } = openControlFile(file, { label, ...network });
  if (config.kind !== 'gligen' || !attention)
    throw new StableDiffusionError('model-unknown', `${file.label} is not GLIGEN; it is ${config.kind}.`);
  const made = { positions: { config, weights }, gates: attention(0), grounded: new WeakMap() };
  known.set(network.config, made);
  return made;
}

function withGates(network: NamedNetwork, { gates, grounded }: Opened): NamedNetwork {
  const known = grounded.get(network);
  if (known) return known;
  const weights = joined([network.weights, gates], network.weights.label);
  const made = extendedNetwork({ ...network, weights } as ModelNetwork, grounding);
  grounded.set(network, made);
  return made;
}

/** Objects by the phrases and the size of the latent's part, kept over the calls of one run. */
export type GroundingRun = Map<GroundedPhrases, Map<string, Promise<Tensor<'float32'>>>>;

interface GroundingOptions {
  readonly model: ModelValue;
  readonly networks: NetworkPool;
  readonly objects: GroundingRun;
  readonly signal?: AbortSignal | undefined;
}

/** The objects [1, 30, width] of phrases in a part of the latent, whose sides the boxes are shares of. */
async function objectsOf(
  { networks, signal }: GroundingOptions,
  { positions }: Opened,
  { phrases: placed }: GroundedPhrases,
  [height, width]: readonly [height: number, width: number],
): Promise<Tensor<'float32'>> {
  const { context_dim, position_dim } = positions.config;
  const sizes = [context_dim, position_dim, 1] as const;
  const [phrases, boxes, used] = sizes.map((size) => zeros('float32', [1, mostObjects, size])) as [
    Tensor<'float32'>,
    Tensor<'float32'>,
    Tensor<'float32'>,
  ];
  for (const [i, { embedding, area }] of placed.entries()) {
    const { top, left } = area;
    phrases.data.set(embedding.data, i * context_dim);
    const box = [left / width, top / height, (left + area.width) / width, (top + area.height) / height] as const;
    boxes.data.set(boxFeatures(box, position_dim / 8), i * position_dim);
    used.data[i] = 1;
  }
  const { objects } = await networks.run(positions, { outputs: ['objects'] }, { phrases, boxes, used }, signal);
  return expectDType(objects as Tensor, 'float32', 'objects');
}

/** Throws `invalid-argument` for more objects than there are places, `weights-mismatch` for phrases of another text encoder. */
function refuseMisfits({ gligen, phrases }: GroundedPhrases, { config }: Opened['positions']): void {
  if (phrases.length > mostObjects)
    throw new StableDiffusionError(
      'invalid-argument',
      `GLIGEN takes at most ${mostObjects} phrases; this conditioning has ${phrases.length}. Leave out some of its GLIGENTextBoxApply nodes.`,
    );
  const other = phrases.find(({ embedding }) => embedding.data.length !== config.context_dim);
  if (other)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${gligen.label} takes phrases of width ${config.context_dim}; the text encoder gave ${other.embedding.data.length}. Encode them with the CLIP of the model that GLIGEN was made for.`,
    );
}

/** The network that sees an entry's phrases, and its further inputs, for a part of the latent of this size. */
export async function groundedTask(
  options: GroundingOptions,
  phrases: GroundedPhrases,
  network: NamedNetwork,
  size: readonly [batch: number, height: number, width: number],
): Promise<{ readonly network: NamedNetwork; readonly inputs: NetworkInputs }> {
  const [batch, height, width] = size;
  const own = openedFor(phrases.gligen, options.model);
  refuseMisfits(phrases, own.positions);
  const bySize = options.objects.get(phrases) ?? new Map<string, Promise<Tensor<'float32'>>>();
  options.objects.set(phrases, bySize);
  const key = `${height}x${width}`;
  const made = bySize.get(key) ?? objectsOf(options, own, phrases, [height, width]);
  bySize.set(key, made);
  return {
    network: withGates(network, own),
    inputs: {
      'grounding.objects': toBatch(await made, batch),
      'grounding.scale': float32([batch], new Float32Array(batch).fill(1)),
    },
  };
}
