/** Textual inversions in prompts: files of the embeddings folder by the name in `embedding:NAME`, their vectors as further rows of the encoder. */

import { embeddingVectors, withEmbeddings } from '../../adapters/textual-inversion.ts';
import {
  familyOfEmbedding,
  type ModelFamily,
  modelFamily,
  refuseOtherFamily,
} from '../../checkpoints/model-families.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { ClipValue, EncoderName, TextEncoderValue } from '../values/clip.ts';

export interface FoundEmbedding {
  readonly name: string;
  /** float32 [rows, width]. */
  readonly vectors: Tensor<'float32'>;
}

/** A token: an id of the vocabulary, or a row of an embedding. */
export type ComfyToken = number | { readonly embedding: FoundEmbedding; readonly row: number };

const endings = ['', '.safetensors', '.pt', '.bin'];

/** The encoder that a text is for, and the CLIP that it belongs to. */
interface EmbeddingUse {
  readonly encoder: EncoderName;
  readonly clip?: ClipValue | undefined;
}

/** The family of the text encoders together: one alone of CLIP's width is Stable Diffusion 1's, and SDXL has it beside a second. */
function familyOfClip({ encoders }: ClipValue): ModelFamily | undefined {
  const [first, second] = encoders.map(({ name, network }) => `${name}${network.config.hidden_size}`);
  if (second !== undefined) return first === 'l768' && second === 'g1280' ? modelFamily('sdxl') : undefined;
  return first === 'l768' ? modelFamily('sd1') : first === 'h1024' ? modelFamily('sd2') : undefined;
}

async function load(
  name: string,
  { encoder, clip }: EmbeddingUse,
  { files }: NodeContext,
): Promise<FoundEmbedding | undefined> {
  const known = (await files.lists()).names('embeddings');
  const file = endings.map((ending) => name + ending).find((one) => known.includes(one));
  if (file === undefined) return undefined;
  const source = await files.weights('embeddings', file);
  try {
    if (clip)
      refuseOtherFamily({
        file: source.label,
        what: 'a textual inversion',
        family: familyOfEmbedding(source),
        model: { label: clip.label, family: familyOfClip(clip) },
      });
    return { name: `${encoder} ${file}`, vectors: await embeddingVectors(source, `clip_${encoder}`) };
  } finally {
    await source.close();
  }
}

/** The embedding of a name, which may have commas around it; `rest` is what of the name is text. */
export async function findEmbedding(
  name: string,
  use: EmbeddingUse,
  context: NodeContext,
): Promise<{ readonly found: FoundEmbedding | undefined; readonly rest: string }> {
  const found = await load(name, use, context);
  if (found) return { found, rest: '' };
  let end = name.length;
  while (end > 0 && name[end - 1] === ',') end--;
  const bare = name.slice(0, end).replace(/^,+/, '');
  if (bare.length === name.length) return { found, rest: '' };
  return { found: await load(bare, use, context), rest: name.slice(bare.length) };
}

type TextNetwork = TextEncoderValue['network'];

/** Encoders that have rows of embeddings, by their network and the names of the embeddings: compiled ones are used again. */
const extendedNetworks = new WeakMap<NamedNetwork, Map<string, NamedNetwork>>();

/**
 * Tokens as ids of an encoder whose table has the embeddings' rows. Vectors of another width are left out, and padding is added at the end.
 */
export function withRows(
  { network, tokenizer }: Pick<TextEncoderValue, 'network' | 'tokenizer'>,
  chunks: readonly (readonly ComfyToken[])[],
): { readonly network: NamedNetwork; readonly rows: readonly (readonly number[])[] } {
  const { hidden_size, vocab_size } = network.config;
  const used = new Map<string, FoundEmbedding>();
  for (const token of chunks.flat())
    if (typeof token !== 'number' && token.embedding.vectors.shape[1] === hidden_size)
      used.set(token.embedding.name, token.embedding);
  const starts = new Map<string, number>();
  let next = vocab_size;
  for (const { name, vectors } of used.values()) {
    starts.set(name, next);
    next += vectors.shape[0] ?? 0;
  }
  const rows = chunks.map((tokens) => {
    const ids = tokens.flatMap((token) => {
      if (typeof token === 'number') return [token];
      const start = starts.get(token.embedding.name);
      return start === undefined ? [] : [start + token.row];
    });
    return [...ids, ...Array.from({ length: tokens.length - ids.length }, () => tokenizer.padId)];
  });
  return { network: used.size === 0 ? network : extended(network, tokenizer.endId, [...used.values()]), rows };
}

function extended(network: TextNetwork, endId: number, embeddings: readonly FoundEmbedding[]): NamedNetwork {
  const made = extendedNetworks.get(network) ?? new Map<string, NamedNetwork>();
  extendedNetworks.set(network, made);
  const key = embeddings.map(({ name }) => name).join('\n');
  const known = made.get(key);
  if (known) return known;
  const { source, config } = withEmbeddings(
    network.weights,
    network.config,
    embeddings.map(({ name, vectors }) => ({ token: name, vectors })),
  );
  const own = { config: { ...config, eos_token_id: endId }, weights: source };
  made.set(key, own);
  return own;
}
