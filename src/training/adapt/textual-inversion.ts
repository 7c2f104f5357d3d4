/**
 * Training a textual inversion (Gal et al. 2022; diffusers' textual_inversion.py): a few vectors of the token embedding that represent a
 * subject or a style, with everything else frozen.
 */

import type { Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { expectDType, float32, type Tensor } from '../../tensor/tensor.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import { withPlaceholders } from '../../tokenizer/clip-placeholders.ts';
import { type TextEmbedding, withEmbeddings } from '../../adapters/textual-inversion.ts';
import type { TrainingItem } from '../data/sample.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { TrainStep } from '../step/train-step.ts';
import type { Trainee } from '../trainee.ts';
import { type AdapterModelOptions, createAdapterStep, tokenizersOf } from './adapter-trainee.ts';
import { type TextTower, textConditionOf } from './text-condition.ts';
import { withTokenRows } from './token-rows.ts';

export interface TextualInversionOptions extends AdapterModelOptions {
  /** Its future word in prompts: `<my-cat>`. */
  readonly token: string;
  /** Words with a similar meaning: the vectors are initialised with those of their tokens, in turn. */
  readonly initializer: string;
  /** Default 1. */
  readonly vectors?: number;
  /**
   * Source of prompts: `object` and `style` draw one of the original's templates, `captions` uses the items' captions (which contain
   * the token), a list draws one of these, with {} for the token. Default 'object'.
   */
  readonly templates?: 'object' | 'style' | 'captions' | readonly string[];
  /** Initial vectors. */
  readonly start?: Tensor<'float32'>;
}

export interface TextualInversionTrainee extends Trainee<Tensors> {
  /** The current vectors, for `withEmbeddings` and `embeddingFile`; of two text encoders the first's. */
  embedding(): Promise<TextEmbedding>;
}

/** Openings of the sentences that the original makes; each also with an adjective for objects. */
const objects = [
  'a photo of a {}',
  'a rendering of a {}',
  'a cropped photo of the {}',
  'the photo of a {}',
  'a photo of a clean {}',
  'a photo of a dirty {}',
  'a dark photo of the {}',
  'a photo of my {}',
  'a photo of the cool {}',
  'a close-up photo of a {}',
  'a bright photo of the {}',
  'a cropped photo of a {}',
  'a photo of the {}',
  'a good photo of the {}',
  'a photo of one {}',
  'a close-up photo of the {}',
  'a rendition of the {}',
  'a photo of the clean {}',
  'a rendition of a {}',
  'a photo of a nice {}',
  'a good photo of a {}',
  'a photo of the nice {}',
  'a photo of the small {}',
  'a photo of the weird {}',
  'a photo of the large {}',
  'a photo of a cool {}',
  'a photo of a small {}',
] as const;
const styles = [
  'a painting in the style of {}',
  'a rendering in the style of {}',
  'a cropped painting in the style of {}',
  'the painting in the style of {}',
  'a clean painting in the style of {}',
  'a dirty painting in the style of {}',
  'a dark painting in the style of {}',
  'a picture in the style of {}',
  'a cool painting in the style of {}',
  'a close-up painting in the style of {}',
  'a bright painting in the style of {}',
  'a good painting in the style of {}',
  'a rendition in the style of {}',
  'a nice painting in the style of {}',
  'a small painting in the style of {}',
  'a weird painting in the style of {}',
  'a large painting in the style of {}',
] as const;

function promptMaker(
  token: string,
  templates: TextualInversionOptions['templates'] = 'object',
): ((item: TrainingItem, generator: TorchGenerator) => string) | undefined {
  if (templates === 'captions') return undefined;
  const list = templates === 'object' ? objects : templates === 'style' ? styles : templates;
  if (list.length === 0) throw new StableDiffusionError('invalid-argument', 'The list of templates is empty.');
  return (_, generator) => (list[generator.integer(0, list.length)] as string).replaceAll('{}', token);
}

const table = 'transformer.text_model.embeddings.token_embedding.weight';

/** One text encoder and its new rows. */
interface Rows extends TextTower {
  readonly tokenizer: ClipTokenizer;
  /** Their name among the graph's parameters. */
  readonly rows: string;
  readonly first: Tensor<'float32'>;
  /** The tokenizer with the new word. */
  readonly known: ClipTokenizer;
}

async function firstVectors(
  { config: { hidden_size: width }, part }: TextTower,
  tokenizer: ClipTokenizer,
  { checkpoint, initializer, start }: TextualInversionOptions,
  count: number,
): Promise<Tensor<'float32'>> {
  if (start) {
    if (start.shape.join() !== [count, width].join())
      throw new StableDiffusionError(
        'shape-mismatch',
        `The initial vectors must have shape [${count}, ${width}], got [${start.shape.join(', ')}].`,
      );
    return start;
  }
  const ids = tokenizer.encode(initializer);
  if (ids.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `The initializer ${JSON.stringify(initializer)} has no tokens. Give a word near the meaning, such as "cat".`,
    );
  const { data } = toFloat32(await (checkpoint.parts[part] as WeightSource).read(table));
  const vectors = new Float32Array(count * width);
  for (let i = 0; i < count; i++) {
    const id = ids[i % ids.length] as number;
    vectors.set(data.subarray(id * width, (id + 1) * width), i * width);
  }
  return float32([count, width], vectors);
}

/** The new rows of each text encoder. */
async function rowsOf(options: TextualInversionOptions, count: number): Promise<readonly Rows[]> {
  const condition = textConditionOf(options.checkpoint);
  const tokenizers = tokenizersOf(options, condition);
  if (options.start && condition.towers.length > 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `${options.checkpoint.label} has two text encoders; initial vectors are given for models with one.`,
    );
  return Promise.all(
    condition.towers.map(async (tower, i) => {
      const tokenizer = tokenizers[i] as ClipTokenizer;
      const ids = Array.from({ length: count }, (_, row) => tower.config.vocab_size + row);
      return {
        ...tower,
        tokenizer,
        rows: `token_rows${i === 0 ? '' : `_${i + 1}`}`,
        first: await firstVectors(tower, tokenizer, options, count),
        known: withPlaceholders(tokenizer, [{ token: options.token, ids }]),
      };
    }),
  );
}

/** The checkpoint whose text encoders have the new rows in their state of now. */
async function extended(
  { checkpoint, token }: TextualInversionOptions,
  towers: readonly Rows[],
  read: (one: Rows) => Promise<Tensor<'float32'>>,
): Promise<Checkpoint> {
  const made = await Promise.all(
    towers.map(async (one) => ({
      part: one.part,
      of: one.config,
      ...withEmbeddings(checkpoint.parts[one.part] as WeightSource, one.config, [{ token, vectors: await read(one) }]),
    })),
  );
  const stage = checkpoint.config.cond_stage_config;
  const changed = <T>(one: T): T => (made.find(({ of }) => of === (one as unknown))?.config as T | undefined) ?? one;
  return {
    ...checkpoint,
    config: {
      ...checkpoint.config,
      cond_stage_config:
        typeof stage === 'object' && stage?.kind === 'composed'
          ? { ...stage, embedders: stage.embedders.map(changed) }
          : changed(stage),
    },
    parts: { ...checkpoint.parts, ...Object.fromEntries(made.map(({ part, source }) => [part, source])) },
  };
}

/**
 * An embedding to be trained: only its vectors have gradients, those of both text encoders for SDXL.
 * @throws `invalid-argument` for models without CLIP's text encoder, an initializer without tokens
 */
export async function createTextualInversionTrainee(
  options: TextualInversionOptions,
): Promise<TextualInversionTrainee> {
  const { token, vectors = 1, weightDecay } = options;
  if (!Number.isInteger(vectors) || vectors < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of vectors must be a whole number of at least 1, got ${vectors}.`,
    );
  const towers = await rowsOf(options, vectors);
  const names = new Set(towers.map(({ rows }) => rows));
  const prompt = options.prompt ?? promptMaker(token, options.templates);
  const readFrom = async (step: TrainStep, { rows }: Rows): Promise<Tensor<'float32'>> =>
    expectDType((await step.parameters([rows]))[rows] as Tensor, 'float32');
  const common = await createAdapterStep(
    { ...options, ...(prompt ? { prompt } : {}) },
    {
      traceText: true,
      adapt: (graph) =>
        towers.reduce(
          (made, { prefix, rows }) => withTokenRows(made, { table: `${prefix}.${table}`, rows, count: vectors }),
          graph,
        ),
      tokenizers: towers.map(({ known }) => known),
      adapted: async (step) => ({ checkpoint: await extended(options, towers, (one) => readFrom(step, one)) }),
      added: memoryWeights(new Map(towers.map(({ rows, first }) => [rows, first]))),
      treatment: (name) => (names.has(name) ? (weightDecay === undefined ? {} : { weightDecay }) : 'fixed'),
    },
  );
  const [main] = towers as readonly [Rows, ...Rows[]];
  // diffusers' `learned_embeds.safetensors`, which A1111 and ComfyUI read too; of two encoders their names in both.
  const keys = towers.length === 1 ? [token] : ['clip_l', 'clip_g'];
  return {
    ...common,
    embedding: async () => ({ token, vectors: await readFrom(common.step, main) }),
    model: () => ({
      entries: towers.map(({ first }, i) => ({ name: keys[i] as string, dtype: 'float32', shape: first.shape })),
      provide: ({ name }) => readFrom(common.step, towers[keys.indexOf(name)] as Rows),
      metadata: { format: 'pt' },
    }),
    [Symbol.asyncDispose]: () => common.dispose(),
  };
}
