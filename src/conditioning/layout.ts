/** Boxes of objects as a condition: their tokens through an encoder without a tokenizer (`BERTEmbedder(use_tokenizer=False)` of latent-diffusion's layout-to-image models). */

import type { BertEmbedderConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { bertEmbedder } from '../models/bert-embedder.ts';
import { need } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { boxTokens, type BoxTokens, layoutTokens } from './box-tokens.ts';
import type { ConditionerKind, Layout } from './conditioner.ts';
import { idTensor } from './text.ts';

/** Triples of class and two corners for each object, then, where two places are left over, the crop. Throws `config-invalid`. */
function tokensOf(
  { max_seq_len: length, vocab_size: tokens }: BertEmbedderConfig,
  label: string,
): Omit<BoxTokens, 'objectClasses'> {
  if (length % 3 === 1)
    throw new StableDiffusionError(
      'config-invalid',
      `${label}: a condition of ${length} ids is no layout: three for each box, and two for the crop, were expected.`,
    );
  const places = 'corners';
  return {
    tokens,
    maxObjects: Math.floor(length / 3),
    encodesCrop: length % 3 === 2,
    usesGroups: true,
    usesModifiers: true,
    places,
  };
}

function check(
  { objects, objectClasses }: Layout,
  { maxObjects }: Omit<BoxTokens, 'objectClasses'>,
  label: string,
): void {
  if (objects.length === 0 || objects.length > maxObjects)
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} takes 1 to ${maxObjects} boxes, and ${objects.length} were given.`,
    );
  const unknown = objects.find((object) => objectClasses !== undefined && object.class >= objectClasses);
  if (unknown)
    throw new StableDiffusionError(
      'invalid-argument',
      `A box is of class ${unknown.class}; the classes are 0 to ${(objectClasses ?? 1) - 1}.`,
    );
  const isModified = objects.some((one) => one.isGroup || one.isOccluded || one.isDepiction || one.isInside);
  if (isModified && objectClasses === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      'Boxes of groups, and of occluded, depicted or inner objects, need boxClasses, the number of classes of the model.',
    );
  const outside = objects.find(({ box: [x, y, width, height] }) => width <= 0 || height <= 0 || x >= 1 || y >= 1);
  if (outside)
    throw new StableDiffusionError(
      'invalid-argument',
      `The box ${outside.box.join(', ')} is empty or outside of the picture. Give left, top, width and height as shares of the picture, from 0 to 1.`,
    );
}

/** The token ids of a layout. Throws `invalid-argument`. */
export function layoutIds(layout: Layout, config: BertEmbedderConfig, label: string): readonly number[] {
  const kind = tokensOf(config, label);
  check(layout, kind, label);
  const given = { ...kind, objectClasses: layout.objectClasses ?? kind.tokens };
  const ids = layoutTokens(layout.objects, given);
  return layout.window && kind.encodesCrop ? [...ids.slice(0, -2), ...boxTokens(layout.window, given)] : ids;
}

export const layout: ConditionerKind<BertEmbedderConfig> = {
  takes: 'layouts',
  trace: (p, config, given) => ({ context: bertEmbedder(p, config, need(given, 'input_ids')) }),
  create: (config, part, { label, run }) => ({
    takes: 'layouts',
    empty: undefined,
    async encode({ layouts }, { signal } = {}) {
      if (!layouts || layouts.length === 0)
        throw new StableDiffusionError(
          'invalid-argument',
          `${label} makes pictures of boxes, and none were given. Give the class and the place of each object.`,
        );
      const rows = layouts.map((one) => layoutIds(one, config, label));
      const { embeddings } = await run(part, ['embeddings'], { tokens: idTensor(rows) }, signal);
      return { context: embeddings as Tensor };
    },
    join: () => ({}),
  }),
};
