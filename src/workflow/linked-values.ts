/** Inputs whose values only nodes can make: a number or text of the graph in the place of a link is refused before the node runs. */

import { StableDiffusionError } from '../errors.ts';
import type { NodeType } from './definition.ts';
import { type ApiNode, isLink } from './graph.ts';
import { pythonRepr } from './python-text.ts';

/** ComfyUI's types of models, tensors and settings. Types of others' nodes may be plain. */
const made: ReadonlySet<unknown> = new Set([
  'CLIP',
  'CLIP_VISION',
  'CLIP_VISION_OUTPUT',
  'CONDITIONING',
  'CONTROL_NET',
  'GLIGEN',
  'GUIDER',
  'HOOKS',
  'HOOK_KEYFRAMES',
  'IMAGE',
  'IPADAPTER',
  'LATENT',
  'LATENT_OPERATION',
  'MASK',
  'MODEL',
  'NOISE',
  'SAMPLER',
  'SIGMAS',
  'STYLE_MODEL',
  'UPSCALE_MODEL',
  'VAE',
]);

/**
 * The check of a graph takes any value where it is no list, as ComfyUI's; there the node then fails. Null for an optional input counts as none.
 * Throws `invalid-argument`.
 */
export function refuseUnlinked({ inputs }: ApiNode, { required, optional }: NodeType): void {
  for (const [name, [kind]] of Object.entries({ ...required, ...optional })) {
    const value = inputs[name];
    if (!made.has(kind) || value === undefined || isLink(value)) continue;
    if (value === null && !required?.[name]) continue;
    throw new StableDiffusionError(
      'invalid-argument',
      `The input ${name} is ${pythonRepr(value).slice(0, 100)}; it must be a link to an output of type ${String(kind)}.`,
    );
  }
}
