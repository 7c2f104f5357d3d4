/**
 * Networks that turn pictures into features: what FID, KID, precision and recall, the inception score and the CLIP score are measured in.
 * The kind of a file is detected from its tensor names; a new kind is one function and one row in `kinds`.
 */

import type { ClipTextConfig, ClipVisionConfig, OpenAiClipConfig } from '../config/network-config.ts';
import type { Engine, Program } from '../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { clipImageTensor } from '../image/clip-image.ts';
import type { Image } from '../image/image.ts';
import { traceClipText } from '../models/clip-text.ts';
import { traceClipVision } from '../models/clip-vision.ts';
import { inceptionSide, traceInception } from '../models/inception.ts';
import { traceOpenAiClipImage, traceOpenAiClipText } from '../models/openai-clip.ts';
import { joinBatches } from '../tensor/batches.ts';
import { expectDType, int64, type Tensor } from '../tensor/tensor.ts';
import { createClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { canonicalWeights } from '../checkpoints/canonical.ts';
import { inferClipText, inferClipVision, inferOpenAiClip } from '../checkpoints/infer/clip.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { inceptionTensor } from './inception-image.ts';

export interface PictureFeatures {
  /** Shape [n, d]. Inception's last averages, or CLIP's image embeddings. */
  readonly features: Tensor<'float32'>;
  /** [n, classes] of a classifier, for the inception score. */
  readonly logits?: Tensor<'float32'>;
}

export interface FeaturesNetwork extends AsyncDisposable {
  readonly kind: 'inception' | 'clip';
  /** Of a CLIP: pixels of the square that it takes. A picture of that size goes in as it is. */
  readonly side?: number;
  /** Features of pictures of any size, computed a few at a time. */
  pictures(images: readonly Image[], signal?: AbortSignal): Promise<PictureFeatures>;
  /** CLIP's text embeddings, [n, d] like those of pictures; undefined if the network has no text encoder. */
  readonly texts?: (captions: readonly string[], signal?: AbortSignal) => Promise<Tensor<'float32'>>;
}

interface Part {
  readonly graph: Graph;
  readonly weights: WeightSource;
}

interface Parts {
  readonly kind: FeaturesNetwork['kind'];
  readonly side?: number;
  readonly picture: Part & {
    readonly input: (images: readonly Image[]) => Record<string, Tensor>;
    readonly features: string;
  };
  readonly text?: Part & {
    readonly input: (captions: readonly string[]) => Record<string, Tensor>;
    readonly embeds: string;
  };
}

function inception(source: WeightSource): Parts {
  const classes = source.entries.get('fc.weight')?.shape[0] ?? 0;
  return {
    kind: 'inception',
    picture: {
      graph: traceInception({ classes }),
      weights: source,
      input: (images) => ({ image: inceptionTensor(images, inceptionSide) }),
      features: 'features',
    },
  };
}

/** Token ids int64 [n, length] of CLIP's tokenizer. */
function tokens(captions: readonly string[], length: number, vocabSize: number, pad: 'end' | 'zero'): Tensor<'int64'> {
  const tokenizer = createClipTokenizer({ vocabSize, pad });
  return int64(
    [captions.length, length],
    captions.flatMap((caption) => [...tokenizer.tokenize(caption, { length }).ids]),
  );
}

/** transformers' CLIPModel: `vision_model`, `text_model` and their projections in one file. */
function transformersClip(source: WeightSource): Parts {
  const vision: ClipVisionConfig = inferClipVision(source.entries).config;
  if (!vision.with_projection)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label} has CLIP's image encoder and no visual_projection.weight, so its pictures and texts cannot be compared.`,
    );
  const text: ClipTextConfig | undefined = source.entries.has('text_model.embeddings.token_embedding.weight')
    ? inferClipText(source.entries, 'text_model.').config
    : undefined;
  const input = (captions: readonly string[]): Record<string, Tensor> =>
    text ? { input_ids: tokens(captions, text.max_position_embeddings, text.vocab_size, 'end') } : {};
  return {
    kind: 'clip',
    side: vision.image_size,
    picture: {
      graph: traceClipVision(vision, { outputs: ['image_embeds'] }),
      weights: canonicalWeights(source, vision).source,
      input: (images) => ({ pixel_values: clipImageTensor(images, { size: vision.image_size }) }),
      features: 'image_embeds',
    },
    ...(text?.with_projection
      ? {
          text: {
            graph: traceClipText(text, { outputs: ['text_embeds'] }),
            weights: canonicalWeights(source, text).source,
            input,
            embeds: 'text_embeds',
          },
        }
      : {}),
  };
}

/** OpenAI's own names: both halves in one file. */
function openAiClip(source: WeightSource): Parts {
  const config: OpenAiClipConfig = inferOpenAiClip(source.entries).config;
  const { source: weights } = canonicalWeights(source, config);
  return {
    kind: 'clip',
    side: config.image_resolution,
    picture: {
      graph: traceOpenAiClipImage(config),
      weights,
      input: (images) => ({ image: clipImageTensor(images, { size: config.image_resolution }) }),
      features: 'image_embeds',
    },
    text: {
      graph: traceOpenAiClipText(config),
      weights,
      input: (captions) => ({ text: tokens(captions, config.context_length, config.vocab_size, 'zero') }),
      embeds: 'text_embeds',
    },
  };
}

/** By a name that only networks of the kind have. */
const kinds: readonly (readonly [name: string, open: (source: WeightSource) => Parts])[] = [
  ['Mixed_7c.branch3x3_2a.conv.weight', inception],
  ['vision_model.embeddings.patch_embedding.weight', transformersClip],
  ['visual.conv1.weight', openAiClip],
];

/** Whether a file is a CLIP with both its encoders, which compares words with pictures. */
export function isWordRanker({ entries }: Pick<WeightSource, 'entries'>): boolean {
  const both = (...names: readonly string[]): boolean => names.every((name) => entries.has(name));
  return (
    both('visual.conv1.weight', 'visual.proj', 'token_embedding.weight', 'text_projection') ||
    both(
      'vision_model.embeddings.patch_embedding.weight',
      'visual_projection.weight',
      'text_model.embeddings.token_embedding.weight',
      'text_projection.weight',
    )
  );
}

/** Pictures or captions that go through a network at once. */
const batch = 16;

/** Concatenates the features of several sets of pictures. Throws `invalid-argument` if they are empty. */
export function joinFeatures(parts: readonly PictureFeatures[]): PictureFeatures {
  if (parts.length === 0)
    throw new StableDiffusionError('invalid-argument', 'There are no pictures to compute features of.');
  const logits = parts.flatMap((part) => part.logits ?? []);
  return {
    features: joinBatches(parts.map((part) => part.features)),
    ...(logits.length === parts.length ? { logits: joinBatches(logits) } : {}),
  };
}

/**
 * The network of a file: pytorch-fid's Inception v3, or a CLIP. Compiled when first used; `weights` stays open as long as it.
 * @throws `model-unknown` for other networks, `weights-mismatch`
 */
export function featuresNetwork(engine: Engine, weights: WeightSource): FeaturesNetwork {
  const open = kinds.find(([name]) => weights.entries.has(name))?.[1];
  if (!open) {
    throw new StableDiffusionError(
      'model-unknown',
      `${weights.label} is not a recognised feature network. Give Inception v3 in pytorch-fid's form (pt_inception-2015-12-05-6726825d.pth), or a CLIP of transformers' or OpenAI's layout.`,
    );
  }
  const parts = open(weights);
  const programs = new Map<Part, Promise<Program>>();
  const run = async <T>(
    part: Part,
    items: readonly T[],
    input: (items: readonly T[]) => Record<string, Tensor>,
    signal?: AbortSignal,
  ): Promise<(name: string) => Tensor<'float32'>> => {
    if (items.length === 0) throw new StableDiffusionError('invalid-argument', 'There is nothing to take features of.');
    const program = programs.get(part) ?? engine.compile(part.graph, part.weights, signal ? { signal } : {});
    programs.set(part, program);
    const made: Record<string, Tensor>[] = [];
    for (let i = 0; i < items.length; i += batch) {
      throwIfAborted(signal);
      made.push(await (await program).run(input(items.slice(i, i + batch)), signal ? { signal } : {}));
    }
    return (name) => joinBatches(made.map((results) => expectDType(results[name] as Tensor, 'float32')));
  };
  const { picture, text } = parts;
  return {
    kind: parts.kind,
    ...(parts.side === undefined ? {} : { side: parts.side }),
    async pictures(images, signal) {
      const results = await run(picture, images, picture.input, signal);
      const hasLogits = picture.graph.outputs.some(({ name }) => name === 'logits');
      return { features: results(picture.features), ...(hasLogits ? { logits: results('logits') } : {}) };
    },
    ...(text
      ? {
          texts: async (captions: readonly string[], signal?: AbortSignal) =>
            (await run(text, captions, text.input, signal))(text.embeds),
        }
      : {}),
    async [Symbol.asyncDispose]() {
      for (const program of programs.values())
        await program.then(
          (compiled) => compiled.dispose(),
          () => {},
        );
    },
  };
}
