/**
 * Textual inversion (Gal et al. 2022): learned rows of a text encoder's token embedding, from the files people share, and a text
 * encoder with these rows behind its own.
 *
 * Forms: A1111's `.pt` (`string_to_param/*`, triggered by the file's name) and `.safetensors` (`emb_params`), diffusers'
 * `learned_embeds` (the key is the token), and files of two encoders, of which `clip_l` is Stable Diffusion's.
 */

import type { ClipTextConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { aliased, weightView } from '../weights/view.ts';
import { findEntry, type WeightSource } from '../weights/weight-source.ts';

export interface TextEmbedding {
  /** Its placeholder in prompts: `<my-style>`, or a word. */
  readonly token: string;
  /** One row for each token it takes in the sequence, [rows, width]. */
  readonly vectors: Tensor<'float32'>;
}

/** Keys under which a file keeps the rows of an embedding that its name, and not a key, calls. */
const nameless: ReadonlySet<string> = new Set(['emb_params', 'string_to_param/*', 'clip_l', 'tensor', '*']);

/** The last part of a path or a label, without its ending. */
export function fileStem(label: string): string {
  return (label.split(/[/\\]/).at(-1) ?? label).replace(/\.(?:pt|pth|bin|ckpt|safetensors)$/i, '');
}

/** Tensors of training state that files hold beside the embedding: the token's number, steps, the optimiser. */
const stateKeys =
  /^(?:string_to_token|optimizer_state_dict|optimizer|scheduler)\/|^(?:step|global_step|epoch|iter|clip_g)$/;

/** The keys of a file that are embeddings: in the original's form those of `string_to_param` and no others; never single numbers. */
function embeddingKeys({ entries }: WeightSource): string[] {
  const keys = [...entries.keys()];
  const original = keys.filter((key) => key.startsWith('string_to_param/'));
  if (original.length > 0) return original;
  const others = keys.filter((key) => !stateKeys.test(key));
  const rows = others.filter((key) => entries.get(key)?.shape.length !== 0);
  return rows.length > 0 ? rows : others;
}

/** Far above what is shared: 75 vectors fill a prompt. */
const maximumVectors = 1024;
const maximumEmbeddings = 128;
const maximumToken = 256;

/** From the header alone, so that a small file that describes large tensors is refused before they are made. */
function checkSizes({ label, entries }: WeightSource, keys: readonly string[]): void {
  if (keys.length > maximumEmbeddings)
    throw new StableDiffusionError(
      'too-large',
      `${label} holds ${keys.length} tensors; a file of at most ${maximumEmbeddings} embeddings is read.`,
    );
  for (const key of keys) {
    const { shape, dtype } = entries.get(key) ?? { shape: [], dtype: 'float32' };
    const width = shape.at(-1) ?? 0;
    const vectors = shape.length === 1 ? 1 : (shape.at(-2) ?? 0);
    const isBatch = shape.slice(0, -2).every((size) => size === 1);
    const what = `its tensor ${key.slice(0, maximumToken)} is ${dtype} [${shape.join(', ')}]`;
    if (shape.length === 0 || width < 2 || vectors < 1 || !isBatch || !dtype.includes('float'))
      throw new StableDiffusionError(
        'file-unsupported',
        `${label} is not a textual inversion: ${what}, and [vectors, width] of floating point was expected.`,
      );
    if (vectors > maximumVectors || width > 65_536 || key.length > maximumToken)
      throw new StableDiffusionError(
        'too-large',
        `${label} is refused: ${what}. At most ${maximumVectors} vectors of 65536 numbers and names of ${maximumToken} characters are read.`,
      );
  }
}

/** Throws what `readEmbeddings` would, from the header alone. */
export function checkEmbeddings(source: WeightSource): void {
  checkSizes(source, embeddingKeys(source));
}

/**
 * The rows of a file's embedding and their width, that of both encoders together for SDXL, as A1111 counts them. Reads the header alone.
 * Throws `file-unsupported` for a file without an embedding, `invalid-argument` for one of several, `too-large`.
 */
export function embeddingSize(source: WeightSource): { readonly vectors: number; readonly width: number } {
  const keys = embeddingKeys(source);
  checkSizes(source, keys);
  const [first, ...others] = keys;
  if (first === undefined) throw new StableDiffusionError('file-unsupported', `${source.label} holds no embedding.`);
  if (others.length > 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${source.label} holds the embeddings ${keys.join(', ')}, which cannot share one name.`,
    );
  const { shape } = findEntry(source.label, source.entries, first);
  const second = first === 'clip_l' ? source.entries.get('clip_g')?.shape.at(-1) : undefined;
  return { vectors: shape.length === 1 ? 1 : (shape.at(-2) ?? 0), width: (shape.at(-1) ?? 0) + (second ?? 0) };
}

/** The embeddings of a file, mostly one. `token` replaces the name of the only one. Throws `file-unsupported`, `invalid-argument`. */
export async function readEmbeddings(
  source: WeightSource,
  options: { readonly token?: string; readonly signal?: AbortSignal } = {},
): Promise<TextEmbedding[]> {
  const keys = embeddingKeys(source);
  checkSizes(source, keys);
  const embeddings: TextEmbedding[] = [];
  for (const key of keys) {
    const read = toFloat32(await source.read(key, options.signal));
    const width = read.shape.at(-1) ?? 0;
    const placeholder = /^string_to_param\/(.*)$/s.exec(key)?.[1];
    // The only one has the file's name, as in A1111; several have their own.
    const own = placeholder === undefined ? key : keys.length > 1 ? placeholder : '*';
    embeddings.push({
      token: nameless.has(own) ? fileStem(source.label) : own,
      vectors: float32([read.data.length / width, width], read.data),
    });
  }
  const [first, ...others] = embeddings;
  if (!first) throw new StableDiffusionError('file-unsupported', `${source.label} holds no embedding.`);
  if (options.token === undefined) return embeddings;
  if (others.length > 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${source.label} holds the embeddings ${embeddings.map(({ token }) => token).join(', ')}, which cannot share one name.`,
    );
  return [{ ...first, token: options.token }];
}

/** The tokens of a placeholder: consecutive rows of the embedding, after those of the vocabulary. */
export interface PlaceholderIds {
  readonly token: string;
  readonly ids: readonly number[];
}

export interface ExtendedTextEncoder {
  readonly source: WeightSource;
  /** With the larger vocabulary. */
  readonly config: ClipTextConfig;
  /** For the tokenizer: `withPlaceholders`. */
  readonly placeholders: readonly PlaceholderIds[];
}

const table = 'transformer.text_model.embeddings.token_embedding.weight';

/**
 * A CLIP text encoder, under canonical names, with the embeddings' vectors as further rows of its table.
 * @throws `weights-mismatch` for vectors of another width, `invalid-argument` for one name twice
 */
export function withEmbeddings(
  source: WeightSource,
  config: ClipTextConfig,
  embeddings: readonly TextEmbedding[],
): ExtendedTextEncoder {
  const {
    shape: [rows = 0, width = 0],
  } = findEntry(source.label, source.entries, table);
  const placeholders: PlaceholderIds[] = [];
  let next = rows;
  for (const { token, vectors } of embeddings) {
    const [count = 0, own] = vectors.shape;
    if (own !== width) {
      throw new StableDiffusionError(
        'weights-mismatch',
        `The embedding ${token} has vectors of width ${own}, but this model's text encoder has width ${width}. It was made for another model family (768: Stable Diffusion 1, 1024: 2).`,
      );
    }
    // Prompts are read whatever the case of their letters.
    if (placeholders.some((other) => other.token.toLowerCase() === token.toLowerCase()))
      throw new StableDiffusionError(
        'invalid-argument',
        `Two embeddings are called ${token}, whatever the case of the letters. Give one of them another token.`,
      );
    placeholders.push({ token, ids: Array.from({ length: count }, (_, i) => next + i) });
    next += count;
  }
  const tensors = Array.from(source.entries.keys(), (name) => {
    if (name !== table) return aliased(source, name);
    const { entry } = aliased(source, name);
    return {
      entry: { ...entry, dtype: 'float32' as const, shape: [next, width] },
      async read(signal?: AbortSignal): Promise<Tensor> {
        const data = new Float32Array(next * width);
        data.set(toFloat32(await source.read(name, signal)).data);
        let at = rows * width;
        for (const { vectors } of embeddings) {
          data.set(vectors.data, at);
          at += vectors.data.length;
        }
        return tensor('float32', [next, width], data);
      },
    };
  });
  return { source: weightView(source.label, tensors, [source]), config: { ...config, vocab_size: next }, placeholders };
}

/**
 * The vectors of a file for one text encoder, [rows, width], as ComfyUI takes them: `key` (`clip_l`, `clip_g`) where the file has it, else
 * the original's `string_to_param`, else the first tensor. Throws `file-unsupported`, `too-large`.
 */
export async function embeddingVectors(
  source: WeightSource,
  key: string,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const [chosen] = source.entries.has(key) ? [key] : embeddingKeys(source);
  if (chosen === undefined) throw new StableDiffusionError('file-unsupported', `${source.label} holds no embedding.`);
  checkSizes(source, [chosen]);
  const read = toFloat32(await source.read(chosen, signal));
  const width = read.shape.at(-1) ?? 0;
  return float32([read.data.length / width, width], read.data);
}
