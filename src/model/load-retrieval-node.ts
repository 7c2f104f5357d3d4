/** Retrieval-augmented models from files: the model, the CLIP that makes its condition, and a database of neighbours. */

import { demand, fieldsOf } from '../arguments.ts';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { tokenizersOf } from '../conditioning/conditioners.ts';
import {
  type DatabaseRows,
  type Neighbours,
  type RetrievalDatabase,
  retrievalConditioner,
  retrievalDatabase,
} from '../conditioning/retrieval.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import { fileError, openFile } from '../files/byte-source-node.ts';
import { openNpz } from '../formats/npz.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { withNames } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import { Model } from './model.ts';
import { isHiddenName } from '../files/hidden-name.ts';

/** Most bytes of embeddings that are kept in memory: two million rows of 768 numbers, as the original's largest databases. */
const mostBytes = 8 * 2 ** 30;

async function npzFiles(path: string): Promise<string[]> {
  const status = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (!status.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => !isHiddenName(name) && name.endsWith('.npz')).sort();
  if (names.length > 0) return names.map((name) => join(path, name));
  throw new StableDiffusionError('file-not-found', `${path} has no .npz files, so it is no database of embeddings.`);
}

async function readRows(path: string): Promise<DatabaseRows> {
  const source = await openFile(path);
  try {
    const archive = await openNpz(source);
    const has = (name: string): boolean => archive.names.includes(name);
    return {
      label: path,
      embedding: toFloat32(await archive.read('embedding')),
      imageIds: has('img_id') ? await archive.readTexts('img_id') : undefined,
      patches: has('patch_coords') ? await archive.read('patch_coords') : undefined,
    };
  } finally {
    await source.close();
  }
}

/** A database of `.npz` files (`embedding`, `img_id`, `patch_coords`): one file, or a folder whose files are joined by their names. Throws `too-large`. */
export async function openRetrievalDatabase(path: string): Promise<RetrievalDatabase> {
  demand(typeof path === 'string', 'The database', 'a path', path);
  const files = await npzFiles(path);
  let bytes = 0;
  for (const file of files) bytes += (await stat(file)).size;
  if (bytes > mostBytes)
    throw new StableDiffusionError(
      'too-large',
      `${path} has ${Math.round(bytes / 2 ** 30)} GiB of embeddings; at most ${mostBytes / 2 ** 30} GiB are kept in memory. Use fewer files.`,
    );
  const parts: DatabaseRows[] = [];
  for (const file of files) parts.push(await readRows(file));
  return retrievalDatabase(parts);
}

export interface RetrievalModelOptions {
  readonly engine: Engine;
  readonly ownsEngine?: boolean;
  /** OpenAI's CLIP (`ViT-L-14.pt`), or a file with its names. */
  readonly clip: string;
  /** Path of a database; without one the condition is the text alone. */
  readonly database?: string | undefined;
  /** Default 10. */
  readonly neighbours?: number | undefined;
  /** Copies of the text's vector. Default 1. */
  readonly repeat?: number | undefined;
  /** CLIP's vector of a picture [1, width], in place of the prompt's. */
  readonly query?: Tensor<'float32'> | undefined;
  readonly onFound?: ((found: Neighbours) => void) | undefined;
  readonly config?: string | undefined;
  /** Default: the averaged weights where the file has them, as in the original. */
  readonly ema?: boolean | undefined;
  readonly precision?: PrecisionName | undefined;
}

/** The model with CLIP as its condition's encoder. Throws `model-unknown` where a file is not CLIP. */
function withClip(checkpoint: Checkpoint, clip: WeightSource, repeat: number): Checkpoint {
  const found = detectNetwork(clip);
  if (found.config.kind !== 'openai_clip')
    throw new StableDiffusionError(
      'model-unknown',
      `${clip.label} is a network of kind ${found.config.kind}; retrieval needs OpenAI's CLIP, such as ViT-L-14.pt.`,
    );
  return {
    ...checkpoint,
    config: {
      ...checkpoint.config,
      cond_stage_config: {
        kind: 'clip_text_embedder',
        model: found.config,
        max_length: found.config.context_length,
        n_repeat: repeat,
        normalize: true,
      },
    },
    parts: {
      ...checkpoint.parts,
      cond_stage: withNames(found.source, (name) => (name.startsWith('visual.') ? undefined : `model.${name}`)),
    },
    async close() {
      await Promise.all([checkpoint.close(), clip.close()]);
    },
  };
}

/** The averaged weights, if the file has any and `ema` is not false. */
async function openModelAt(path: string, { config, ema }: RetrievalModelOptions): Promise<Checkpoint> {
  const options = config ? { config } : {};
  const checkpoint = await openCheckpointAt(path, { ...options, ema: ema ?? false });
  if (ema !== undefined || checkpoint.ema !== 'available') return checkpoint;
  await checkpoint.close();
  return openCheckpointAt(path, { ...options, ema: true });
}

/** Opens a retrieval-augmented model for `generate` and the like. */
export async function loadRetrievalModel(path: string, options: RetrievalModelOptions): Promise<Model> {
  fieldsOf(options, 'The options of loadRetrievalModel', 'an object with an engine');
  const { engine, ownsEngine = false, database, neighbours = 10, repeat = 1, precision, onFound, query } = options;
  const found = database === undefined ? undefined : await openRetrievalDatabase(database);
  const checkpoint = await openModelAt(path, options);
  try {
    if (checkpoint.kind !== 'retrieval')
      throw new StableDiffusionError(
        'invalid-argument',
        `${path} is a model of kind ${checkpoint.kind}; one whose condition is torch.nn.Identity over cross-attention is needed.`,
      );
    const whole = withClip(checkpoint, await openWeightsAt(options.clip), repeat);
    return new Model({
      engine,
      ownsEngine,
      precision,
      checkpoint: whole,
      tokenizers: await tokenizersOf(whole.config, {}),
      conditioner: (own) => retrievalConditioner(own, found && { database: found, count: neighbours, onFound }, query),
    });
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}
