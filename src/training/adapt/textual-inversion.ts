/**
 * Training a textual inversion (Gal et al. 2022; diffusers' textual_inversion.py): a few vectors of the token embedding that represent a
 * subject or a style, with everything else frozen.
 */

import type { Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { expectDType, float32, type Tensor } from '../../tensor/tensor.ts';
import { withPlaceholders } from '../../tokenizer/clip-placeholders.ts';
import { type TextEmbedding, withEmbeddings } from '../../adapters/textual-inversion.ts';
import type { TrainingItem } from '../data/sample.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';
import type { TrainStep } from '../step/train-step.ts';
import type { Trainee } from '../trainee.ts';
import { textPrefix } from './adapter-loss.ts';
import { type AdapterModelOptions, createAdapterStep, textConfigOf } from './adapter-trainee.ts';
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
  /** The current vectors, for `withEmbeddings` and `embeddingFile`. */
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
/** The new rows' name among the graph's parameters. */
const rows = 'token_rows';

async function firstVectors(options: TextualInversionOptions, count: number): Promise<Tensor<'float32'>> {
  const { checkpoint, tokenizer, initializer, start } = options;
  const width = textConfigOf(checkpoint).hidden_size;
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
  const { data } = toFloat32(await checkpoint.parts.cond_stage.read(table));
  const vectors = new Float32Array(count * width);
  for (let i = 0; i < count; i++) {
    const id = ids[i % ids.length] as number;
    vectors.set(data.subarray(id * width, (id + 1) * width), i * width);
  }
  return float32([count, width], vectors);
}

/**
 * An embedding to be trained: only its vectors have gradients.
 * @throws `invalid-argument` for models without CLIP's text encoder, an initializer without tokens
 */
export async function createTextualInversionTrainee(
  options: TextualInversionOptions,
): Promise<TextualInversionTrainee> {
  const { checkpoint, token, vectors = 1, weightDecay } = options;
  if (!Number.isInteger(vectors) || vectors < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of vectors must be a whole number of at least 1, got ${vectors}.`,
    );
  const { vocab_size } = textConfigOf(checkpoint);
  const first = await firstVectors(options, vectors);
  const prompt = options.prompt ?? promptMaker(token, options.templates);
  const known = withPlaceholders(options.tokenizer, [
    { token, ids: Array.from({ length: vectors }, (_, i) => vocab_size + i) },
  ]);
  const read = async (step: TrainStep): Promise<Tensor<'float32'>> =>
    expectDType((await step.parameters([rows]))[rows] as Tensor, 'float32');
  const common = await createAdapterStep(
    { ...options, ...(prompt ? { prompt } : {}) },
    {
      traceText: true,
      adapt: (graph) => withTokenRows(graph, { table: `${textPrefix}.${table}`, rows, count: vectors }),
      tokenizer: known,
      async adapted(step) {
        const { source, config } = withEmbeddings(checkpoint.parts.cond_stage, textConfigOf(checkpoint), [
          { token, vectors: await read(step) },
        ]);
        return {
          checkpoint: {
            ...checkpoint,
            config: { ...checkpoint.config, cond_stage_config: config },
            parts: { ...checkpoint.parts, cond_stage: source },
          },
          tokenizer: known,
        };
      },
      added: memoryWeights(new Map([[rows, first]])),
      treatment: (name) => (name === rows ? (weightDecay === undefined ? {} : { weightDecay }) : 'fixed'),
    },
  );
  return {
    ...common,
    embedding: async () => ({ token, vectors: await read(common.step) }),
    // diffusers' `learned_embeds.safetensors`, which A1111 and ComfyUI read too.
    model: () => ({
      entries: [{ name: token, dtype: 'float32', shape: first.shape }],
      provide: () => read(common.step),
      metadata: { format: 'pt' },
    }),
    [Symbol.asyncDispose]: () => common.dispose(),
  };
}
