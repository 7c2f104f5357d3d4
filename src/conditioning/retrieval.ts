/**
 * Retrieval: neighbours of a text or a picture in a database of CLIP embeddings, joined behind its own embedding as the condition (Blattmann
 * et al. 2022, "Retrieval-Augmented Diffusion Models", arXiv 2204.11824). As the Searcher of latent-diffusion's scripts/knn2img.py with exact
 * search, where the original may search approximately.
 */

import { StableDiffusionError } from '../errors.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { expectDType, float32, int64, type Tensor, zeros } from '../tensor/tensor.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import type { Conditioner } from './conditioner.ts';

/** Rows of a database as a file has them: embeddings [n, width], and where they come from. */
export interface DatabaseRows {
  readonly label: string;
  readonly embedding: Tensor<'float32'>;
  /** One for each row; may be absent. */
  readonly imageIds?: readonly string[] | undefined;
  /** int64 [n, 4]: left, top, width, height of the patch. */
  readonly patches?: Tensor | undefined;
}

export interface RetrievalDatabase {
  readonly rows: number;
  readonly width: number;
  readonly parts: readonly DatabaseRows[];
}

/** `x / norm(x)` of each row, without an epsilon as in the original; a row of zeros stays one. */
export function unitRowsOf(x: Tensor<'float32'>): Tensor<'float32'> {
  const width = x.shape.at(-1) ?? 1;
  const data = new Float32Array(x.data.length);
  for (let at = 0; at < data.length; at += width) {
    let square = 0;
    for (let i = 0; i < width; i++) square += (x.data[at + i] as number) ** 2;
    const norm = Math.fround(Math.sqrt(square)) || 1;
    for (let i = 0; i < width; i++) data[at + i] = (x.data[at + i] as number) / norm;
  }
  return { ...x, data };
}

/** Databases joined in their order. Throws `invalid-argument` for none, an empty one, or rows of other widths. */
export function retrievalDatabase(parts: readonly DatabaseRows[]): RetrievalDatabase {
  const [first] = parts;
  const rows = parts.reduce((sum, { embedding }) => sum + (embedding.shape[0] ?? 0), 0);
  if (!first || rows === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      'The database has no rows. Give .npz files with the array embedding [rows, width].',
    );
  const width = first.embedding.shape[1] ?? 0;
  for (const { label, embedding } of parts)
    if (embedding.shape.length !== 2 || embedding.shape[1] !== width)
      throw new StableDiffusionError(
        'invalid-argument',
        `${label}: embedding has shape [${embedding.shape.join(', ')}], not [rows, ${width}] as ${first.label}.`,
      );
  return { rows, width, parts: parts.map((part) => ({ ...part, embedding: unitRowsOf(part.embedding) })) };
}

export interface Neighbours {
  /** int64 [queries, count]: rows of the database, the nearest first. */
  readonly rows: Tensor<'int64'>;
  /** float32 [queries, count, width], of length 1. */
  readonly embeddings: Tensor<'float32'>;
  /** int64 [queries, count, 4], where the database has them. */
  readonly patches: Tensor<'int64'> | undefined;
  readonly imageIds: readonly (readonly (string | undefined)[])[];
  /** float32 [queries, width], of length 1. */
  readonly queries: Tensor<'float32'>;
}

interface Found {
  readonly part: DatabaseRows;
  readonly row: number;
  readonly number: number;
  readonly product: number;
}

/** The `count` rows with the greatest products, in order. */
function nearestTo(query: Float32Array, { parts, width }: RetrievalDatabase, count: number): Found[] {
  const best: Found[] = [];
  let before = 0;
  for (const part of parts) {
    const { data, shape } = part.embedding;
    const rows = shape[0] ?? 0;
    for (let row = 0; row < rows; row++) {
      let product = 0;
      for (let i = 0, at = row * width; i < width; i++) product += (query[i] as number) * (data[at + i] as number);
      if (best.length === count && product <= (best.at(-1) as Found).product) continue;
      let place = best.length;
      while (place > 0 && (best[place - 1] as Found).product < product) place--;
      best.splice(place, 0, { part, row, number: before + row, product });
      best.length = Math.min(best.length, count);
    }
    before += rows;
  }
  return best;
}

/** The nearest rows of each query [queries, width] by the cosine. Throws `invalid-argument`. */
export function nearestRows(database: RetrievalDatabase, given: Tensor<'float32'>, count: number): Neighbours {
  const { width, rows } = database;
  const [queries = 0, own] = given.shape;
  if (own !== width)
    throw new StableDiffusionError(
      'invalid-argument',
      `The embeddings are ${own} wide, and those of the database ${width}. Use the CLIP that the database was made with.`,
    );
  if (count > rows)
    throw new StableDiffusionError(
      'invalid-argument',
      `${count} neighbours were asked for; the database has ${rows} rows.`,
    );
  const unit = unitRowsOf(given);
  const found = Array.from({ length: queries }, (_, i) =>
    nearestTo(unit.data.subarray(i * width, (i + 1) * width), database, count),
  );
  const all = found.flat();
  const hasPatches = all.every(({ part }) => part.patches);
  return {
    rows: int64(
      [queries, count],
      all.map(({ number }) => number),
    ),
    embeddings: float32(
      [queries, count, width],
      Float32Array.from(
        all.flatMap(({ part, row }) => [...part.embedding.data.subarray(row * width, (row + 1) * width)]),
      ),
    ),
    patches: hasPatches
      ? int64(
          [queries, count, 4],
          all.flatMap(({ part, row }) => Array.from({ length: 4 }, (_, i) => Number(part.patches?.data[4 * row + i]))),
        )
      : undefined,
    imageIds: found.map((own_) => own_.map(({ part, row }) => part.imageIds?.[row])),
    queries: unit,
  };
}

export interface RetrievalOptions {
  readonly database: RetrievalDatabase;
  /** Neighbours behind each condition. */
  readonly count: number;
  /** Called with what was found for the texts of a batch. */
  readonly onFound?: ((found: Neighbours) => void) | undefined;
}

/** The first vector of each condition [b, n, width] → [b, width]. */
function firstVectors(context: Tensor<'float32'>): Tensor<'float32'> {
  const [b = 0, n = 0, width = 0] = context.shape;
  const data = new Float32Array(b * width);
  for (let i = 0; i < b; i++) data.set(context.data.subarray(i * n * width, (i * n + 1) * width), i * width);
  return float32([b, width], data);
}

/** The context with its neighbours behind it, [b, n + count, width]. */
export function joinNeighbours(
  context: Tensor<'float32'>,
  { database, count, onFound }: RetrievalOptions,
): Tensor<'float32'> {
  const found = nearestRows(database, firstVectors(context), count);
  onFound?.(found);
  return concatenate([context, found.embeddings], 1);
}

/** The vector of a picture in every place of a context [b, n, width]. Throws `invalid-argument` for one of another width. */
function askedByPicture({ shape }: Tensor, query: Tensor<'float32'>): Tensor<'float32'> {
  const unit = unitRowsOf(query).data;
  if (unit.length !== shape.at(-1))
    throw new StableDiffusionError(
      'invalid-argument',
      `The vector of the picture is ${unit.length} wide, and the condition ${shape.at(-1)}. Use the CLIP that the model was trained with.`,
    );
  return float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => unit[i % unit.length] as number),
  );
}

/**
 * A conditioner of CLIP's vector whose empty condition is zeros, with neighbours from a database if one is given. `query` is the vector of a
 * picture [1, width], which stands in place of the text's.
 */
export function retrievalConditioner(
  own: Conditioner,
  options?: RetrievalOptions,
  query?: Tensor<'float32'>,
): Conditioner {
  const joined = (inputs: NetworkInputs): NetworkInputs => {
    const { context } = inputs;
    if (!context) return inputs;
    const asked = query ? askedByPicture(context, query) : expectDType(context, 'float32');
    return { ...inputs, context: options ? joinNeighbours(asked, options) : asked };
  };
  return {
    ...own,
    encode: async (given, encodeOptions) => joined(await own.encode(given, encodeOptions)),
    join: async (parts, given) => joined(await own.join(parts, given)),
    zeroEmpty: ({ context, ...others }, rows) => ({
      ...others,
      ...(context && { context: withZeros(expectDType(context, 'float32'), rows) }),
    }),
  };
}

function withZeros(context: Tensor<'float32'>, rows: readonly boolean[]): Tensor<'float32'> {
  const [items = 1, ...rest] = context.shape;
  const made = zeros('float32', [items, ...rest]);
  const size = context.data.length / items;
  for (let i = 0; i < items; i++)
    if (!rows[i]) made.data.set(context.data.subarray(i * size, (i + 1) * size), i * size);
  return made;
}
