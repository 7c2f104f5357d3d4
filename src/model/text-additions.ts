/** Textual inversions in all text encoders of a model: one file has the vectors of each encoder, and one name is a token of all of them. */

import {
  embeddingVectors,
  fileStem,
  readEmbeddings,
  type TextEmbedding,
  withEmbeddings,
} from '../adapters/textual-inversion.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { Tokenizer } from '../conditioning/conditioner.ts';
import { familyOfContext, familyOfEmbedding, otherFamily, refuseOtherFamily } from '../checkpoints/model-families.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import type { ClipTextConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { historicalEos } from '../models/clip-text.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { withPlaceholders } from '../tokenizer/clip-placeholders.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** A text encoder of a condition: its part, and the tensor of its vectors in files for several encoders. */
interface TextEncoder {
  readonly part: string;
  readonly config: ClipTextConfig;
  readonly tokenizer: ClipTokenizer;
  readonly key: 'clip_l' | 'clip_g';
}

type Condition = LatentDiffusionConfig['cond_stage_config'];

/** Throws `invalid-argument` for a model without a CLIP text encoder. */
function textEncodersOf({ config, label }: Checkpoint, tokenizers: ReadonlyMap<string, Tokenizer>): TextEncoder[] {
  const all = [...conditionerParts(config.cond_stage_config)];
  const found = all.flatMap(([part, network], i): TextEncoder[] => {
    const tokenizer = tokenizers.get(part);
    if (network.kind !== 'clip_text' || !tokenizer || !('profile' in tokenizer)) return [];
    return [{ part, config: network, tokenizer, key: i === all.length - 1 ? 'clip_g' : 'clip_l' }];
  });
  if (found.length === all.length && found.length > 0) return found;
  throw new StableDiffusionError(
    'invalid-argument',
    `${label} has no CLIP text encoder with a token table; textual inversions cannot be used with it.`,
  );
}

/** The condition with other configurations of its text encoders, in order. */
function withTextConfigs(condition: Condition, configs: readonly ClipTextConfig[]): Condition {
  if (typeof condition !== 'object' || condition?.kind !== 'composed') return configs[0] ?? condition;
  const left = [...configs];
  return {
    ...condition,
    embedders: condition.embedders.map((one) => (one.kind === 'clip_text' ? (left.shift() ?? one) : one)),
  };
}

export interface NamedEmbedding {
  readonly source: WeightSource;
  /** Default: the name in the file, else the file's name. */
  readonly token?: string | undefined;
}

/** The embeddings of a file for one of the encoders. Throws `file-unsupported` for a file without vectors for it. */
async function readFor(
  { source, token }: NamedEmbedding,
  { key }: TextEncoder,
  isComposed: boolean,
): Promise<TextEmbedding[]> {
  if (!isComposed) return readEmbeddings(source, token === undefined ? {} : { token });
  if (!source.entries.has(key))
    throw new StableDiffusionError(
      'file-unsupported',
      `${source.label} has no vectors ${key}; textual inversions for this model have clip_l and clip_g. It was made for another model family.`,
    );
  return [{ token: token ?? fileStem(source.label), vectors: await embeddingVectors(source, key) }];
}

/**
 * Throws `weights-mismatch` for an embedding of another family: by the width of the model's encoder. SDXL's file is not taken in part by a model
 * with one of its encoders; the refiner, whose only encoder is SDXL's second, takes that part.
 */
function refuseEmbedding(source: WeightSource, { label, config }: Checkpoint, encoders: readonly TextEncoder[]): void {
  const { unet_config: unet } = config;
  const own = familyOfContext(unet.kind === 'unet' ? unet.context_dim : undefined);
  const found = familyOfEmbedding(source);
  if (found?.id === 'sdxl' && own?.id === 'sdxl-refiner') return;
  const model = { label, family: own };
  refuseOtherFamily({ file: source.label, what: 'a textual inversion', family: found, model });
  const isTwo = source.entries.has('clip_g');
  if (
    isTwo &&
    encoders.every(({ config: { hidden_size: width } }) => width !== source.entries.get('clip_g')?.shape.at(-1))
  )
    throw otherFamily({ file: source.label, what: 'a textual inversion', family: found, model });
}

export interface ExtendedTexts {
  readonly checkpoint: Checkpoint;
  readonly tokenizers: ReadonlyMap<string, Tokenizer>;
  readonly tokens: readonly string[];
}

/** Adds embeddings, and closes their files. Throws `weights-mismatch`, `file-unsupported`, `invalid-argument`. */
export async function withTextAdditions(
  checkpoint: Checkpoint,
  tokenizers: ReadonlyMap<string, Tokenizer>,
  embeddings: readonly NamedEmbedding[],
): Promise<ExtendedTexts> {
  const encoders = textEncodersOf(checkpoint, tokenizers);
  const { cond_stage_config: condition } = checkpoint.config;
  const isComposed = typeof condition === 'object' && condition?.kind === 'composed';
  const configs: ClipTextConfig[] = [];
  const parts: Record<string, WeightSource> = {};
  const changed = new Map(tokenizers);
  for (const { source } of embeddings) refuseEmbedding(source, checkpoint, encoders);
  let tokens: readonly string[] = [];
  for (const encoder of encoders) {
    const { part, config, tokenizer } = encoder;
    const read = [];
    for (const embedding of embeddings) read.push(...(await readFor(embedding, encoder, isComposed)));
    const extended = withEmbeddings(checkpoint.parts[part] as WeightSource, config, read);
    // The largest id of a row is now an added token's.
    const eos = config.eos_token_id === historicalEos ? tokenizer.endId : config.eos_token_id;
    configs.push({ ...extended.config, eos_token_id: eos });
    parts[part] = extended.source;
    changed.set(part, withPlaceholders(tokenizer, extended.placeholders));
    tokens = read.map(({ token }) => token);
  }
  for (const { source } of embeddings) await source.close();
  return {
    checkpoint: {
      ...checkpoint,
      config: { ...checkpoint.config, cond_stage_config: withTextConfigs(condition, configs) },
      parts: { ...checkpoint.parts, ...parts },
    },
    tokenizers: changed,
    tokens,
  };
}
