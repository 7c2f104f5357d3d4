/** The encoders of the condition of a complete checkpoint, inferred from names and shapes: one network under `cond_stage_model.`, or sgm's `conditioner.embedders.N.`. */

import { type ComposedConfig, composedConfigSchema, type SizesConfig } from '../../config/composed-conditioner.ts';
import { conditionerPart, conditionerParts } from '../../config/conditioner-parts.ts';
import type { ClipTextConfig, NetworkConfig, UNetConfig } from '../../config/network-config.ts';
import { withNames, withoutPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { canonicalWeights } from '../canonical.ts';
import { detectNetwork } from '../detect.ts';
import { inferred, unknown } from './shapes.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';
import { partModules } from '../../weights/part-prefixes.ts';

/** In front of the embedders of sgm's `GeneralConditioner`. */
export const conditionerPrefix = 'conditioner.';

/** The weights of each network that encodes the condition, in order. That of `cond_stage_model.` keeps its prefix. */
export function encoderSources(source: WeightSource): readonly WeightSource[] {
  const one = withNames(source, (name) => (name.startsWith(partPrefixes.cond_stage) ? name : undefined));
  if (one.entries.size > 0) return [one];
  const numbers = new Set(
    [...source.entries.keys()].flatMap((name) => /^conditioner\.embedders\.(\d{1,2})\./.exec(name)?.[1] ?? []),
  );
  return [...numbers]
    .sort((a, b) => Number(a) - Number(b))
    .map((number) => withoutPrefix(source, `conditioner.embedders.${number}.`));
}

interface InferredCondition {
  readonly config: NetworkConfig | ComposedConfig | null;
  readonly parts: Readonly<Record<string, WeightSource>>;
  readonly assumed: readonly string[];
}

/** Numbers that each kind of vector holds behind the pooled text: SDXL's three sizes, and the refiner's two with the aesthetic score. */
const vectors: Readonly<Record<number, { readonly fields: SizesConfig['fields']; readonly numbers: number }>> = {
  1: { fields: ['original', 'crop', 'aesthetic'], numbers: 5 },
  2: { fields: ['original', 'crop', 'target'], numbers: 6 },
};

/** SDXL: the states of the last block but one without the final norm, and of the last encoder the projected end token. */
export function sdxlCondition(
  encoders: readonly ClipTextConfig[],
  unet: UNetConfig,
  options: { readonly zeroEmpty?: boolean } = {},
): ComposedConfig {
  const what = 'SDXL conditioner';
  const last = encoders.at(-1);
  const vector = vectors[encoders.length];
  if (!last || !vector) throw unknown(what, `there are ${encoders.length} text encoders`);
  const width = ((unet.adm_in_channels ?? 0) - last.projection_dim) / vector.numbers;
  if (!Number.isInteger(width) || width < 1)
    throw unknown(
      what,
      `the UNet takes a vector of ${unet.adm_in_channels}, and the pooled text has ${last.projection_dim}`,
    );
  const texts = encoders.map((encoder) => ({
    ...encoder,
    layers_skipped: 1,
    output_norm: false,
    pooled_output: encoder === last,
    with_projection: encoder === last,
  }));
  return inferred(
    composedConfigSchema,
    {
      kind: 'composed',
      embedders: [...texts, { kind: 'sizes', fields: vector.fields, width }],
      zero_empty: options.zeroEmpty ?? true,
    },
    what,
  );
}

/** The condition of a whole checkpoint. Throws `model-unknown`. */
export function inferCondition(
  source: WeightSource,
  unet: UNetConfig,
  /** The UNet's vector is that of an image, not of texts. */
  hasImageVector = false,
): InferredCondition {
  const encoders = encoderSources(source).map((encoder) => detectNetwork(encoder));
  const assumed = encoders.flatMap(({ assumed: phrases }, i) =>
    phrases.map((phrase) => `${i === 0 ? partModules.cond_stage : conditionerPart(i)}: ${phrase}`),
  );
  const parts = Object.fromEntries(encoders.map((encoder, i) => [conditionerPart(i), encoder.source]));
  const [first] = encoders;
  if (!first) return { config: null, parts, assumed };
  if (unet.adm_in_channels === null || hasImageVector || first.config.kind !== 'clip_text')
    return { config: first.config, parts, assumed };
  const texts = encoders.flatMap(({ config }) => (config.kind === 'clip_text' ? [config] : []));
  if (texts.length !== encoders.length) throw unknown('SDXL conditioner', 'an embedder is not a CLIP text encoder');
  const config = sdxlCondition(texts, unet);
  const sources = encoderSources(source);
  const used = [...conditionerParts(config)].flatMap(([part, network], i) => {
    const own = sources[i];
    return own ? [[part, canonicalWeights(own, network).source] as const] : [];
  });
  return { config, parts: Object.fromEntries(used), assumed };
}
