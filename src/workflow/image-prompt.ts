/**
 * IP-Adapters in a MODEL (Ye et al. 2023, arXiv 2308.06721), with the weights by layer of ComfyUI_IPAdapter_plus: the factor of a layer is
 * multiplied into the adapter's values there, which the gathered image is linear in.
 */

import { openControlFile } from '../checkpoints/control-file.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import type { IpAdapterConfig, UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { imagePrompts } from '../extensions/image-prompt.ts';
import { takesHiddenStates } from '../models/ip-adapter.ts';
import { resizeTensor } from '../tensor/resize-tensor.ts';
import { expectDType, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { scaledWeights } from '../weights/scaled-weights.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { NodeContext } from './context-in-run.ts';
import type { Float32 } from './grids.ts';
import { type ImageEncoderValue, encoderPixels, seePixels, type SeenPictures } from './image-encoder.ts';
import { type LayerFactor, layerFactors, type LayerPart } from './image-prompt-layers.ts';
import { toBatch } from './sampling/to-batch.ts';
import { type ModelValue, patched } from './values/model.ts';

/** IPADAPTER: the file, and the image encoder where it was loaded with one. */
export interface ImagePromptValue {
  readonly holdsNetworks: true;
  readonly source: WeightSource;
  readonly encoder?: ImageEncoderValue | undefined;
}

export interface EmbedOptions {
  readonly adapter: ImagePromptValue;
  readonly encoder: ImageEncoderValue | undefined;
  readonly image: Float32;
  readonly negative?: Float32 | undefined;
  /** The name of a way to make one of several pictures; `concat` keeps them apart. */
  readonly combine?: string;
}

export interface ImagePromptOptions {
  readonly adapter: ImagePromptValue;
  readonly embeds: ImageEmbeds;
  readonly weight: number;
  /** The name of a distribution of the weight over the layers. */
  readonly weightType: string;
  readonly start: number;
  readonly end: number;
  /** float32 [1, h, w]: where the picture counts. */
  readonly mask?: Float32 | undefined;
}

const parts: readonly LayerPart[] = ['input', 'middle', 'output'];

/** The adapter's keys and values, the values of each layer times its factor. Layers are counted in the UNet's order, the middle between the halves. */
function layered(source: WeightSource, factor: LayerFactor): WeightSource {
  const blockOf = (name: string): string => name.split('.transformer_blocks.')[0] ?? name;
  const partOf = (block: string): LayerPart => (/^(input|middle|output)/.exec(block)?.[1] ?? 'input') as LayerPart;
  const rank = (block: string): number => parts.indexOf(partOf(block)) * 1000 + Number(/\.(\d+)/.exec(block)?.[1]);
  const blocks = [...new Set([...source.entries.keys()].map(blockOf))].sort((a, b) => rank(a) - rank(b));
  return scaledWeights(source, (name) => {
    const block = blockOf(name);
    return name.includes('.to_v_ip.') ? factor(blocks.indexOf(block), blocks.length, partOf(block)) : 1;
  });
}

/** Several pictures as one, by the name of a way; `concat` keeps them apart. */
export function combinedPictures(seen: Float32, way: string): Float32 {
  const [count = 1, ...rest] = seen.shape;
  if (count === 1 || way === 'concat') return seen;
  const size = seen.data.length / count;
  const at = (i: number, j: number): number => seen.data[i * size + j] as number;
  const sum = (from: number, j: number, of = at): number => {
    let total = 0;
    for (let i = from; i < count; i++) total += of(i, j);
    return total;
  };
  const ways: Readonly<Record<string, (j: number) => number>> = {
    add: (j) => sum(0, j),
    subtract: (j) => at(0, j) - sum(1, j) / (count - 1),
    average: (j) => sum(0, j) / count,
    'norm average': (j) => sum(0, j) / count / Math.sqrt(sum(0, j, (i, k) => at(i, k) ** 2)),
  };
  const join = ways[way] ?? ((j: number) => at(0, j));
  return float32(
    [1, ...rest],
    Float32Array.from({ length: size }, (_, j) => join(j)),
  );
}

const taken = (config: IpAdapterConfig, seen: SeenPictures, label: string): Float32 => {
  if (takesHiddenStates(config)) return seen.penultimate_hidden_states;
  if (seen.image_embeds) return seen.image_embeds;
  throw new StableDiffusionError(
    'invalid-argument',
    `${label} needs an image encoder with a projection. Load the one that it was made with.`,
  );
};

/** What the image encoder makes of pictures for an adapter, and of nothing: embeddings [n, width] or hidden states [n, tokens, width]. */
export interface ImageEmbeds {
  readonly positive: Float32;
  readonly negative: Float32;
}

function configOf({ source }: ImagePromptValue): IpAdapterConfig {
  const { config } = detectNetwork(source);
  if (config.kind === 'ip_adapter') return config;
  throw new StableDiffusionError('model-unknown', `${source.label} is not an IP-Adapter; it is ${config.kind}.`);
}

type Loaded = Pick<EmbedOptions, 'adapter' | 'encoder'>;

/** How an adapter sees pictures. Throws `invalid-argument` for an adapter of faces, and without an encoder. */
function sightOf({ adapter, encoder }: Loaded, context: NodeContext) {
  const used = encoder ?? adapter.encoder;
  const { label } = adapter.source;
  const config = configOf(adapter);
  if (config.projection === 'face' || !used)
    throw new StableDiffusionError(
      'invalid-argument',
      used
        ? `${label} is an adapter for faces (FaceID), whose recognition of faces is not supported.`
        : `${label} needs CLIP's image encoder. Connect one that CLIPVisionLoader loads to clip_vision.`,
    );
  const { image_size: size } = used.network.config;
  const see = async (pictures: Float32): Promise<Float32> =>
    taken(config, await seePixels(used, encoderPixels(pictures, size, true), context), label);
  return { see, blank: () => see(zeros('float32', [1, size, size, 3])) };
}

/** The negative half without a picture of its own: black pixels for adapters of hidden states, else zeros. */
export async function nothingSeen(loaded: Loaded, positive: Float32, context: NodeContext): Promise<Float32> {
  if (!takesHiddenStates(configOf(loaded.adapter))) return zeros('float32', positive.shape);
  return sightOf(loaded, context).blank();
}

/** Throws as `sightOf`. */
export async function imageEmbeds(
  { image, negative, combine = 'concat', ...loaded }: EmbedOptions,
  context: NodeContext,
): Promise<ImageEmbeds> {
  const { see } = sightOf(loaded, context);
  const positive = combinedPictures(await see(image), combine);
  const nothing = negative ? await see(negative) : await nothingSeen(loaded, positive, context);
  return { positive, negative: toBatch(nothing, positive.shape[0] ?? 1) };
}

/** Tokens of the positive and of the negative half, [1, tokens, width]. */
async function tokensOf(
  { config, weights }: { readonly config: IpAdapterConfig; readonly weights: WeightSource },
  { positive, negative }: ImageEmbeds,
  { networks, signal }: NodeContext,
): Promise<readonly [Float32, Float32]> {
  if (positive.shape.at(-1) !== config.clip_embeddings_dim)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${weights.label} takes ${config.clip_embeddings_dim} values of the image encoder, and it makes ${positive.shape.at(-1)}. Load the encoder that the adapter was made with.`,
    );
  const project = async (images: Float32): Promise<Float32> => {
    const made = await networks.runForOne(
      { config, weights },
      { output: 'image_tokens' },
      { image_embeds: images },
      signal,
    );
    const [n = 1, tokens = 1, width = 1] = made.shape;
    return { ...made, shape: [1, n * tokens, width] };
  };
  return [await project(positive), await project(negative)];
}

/** Where a picture counts at one level of the UNet, [batch, h, w]. */
function scaleAt(mask: Float32 | undefined, weight: number, batch: number, height: number, width: number): Tensor {
  if (!mask || weight === 0)
    return float32([batch, height, width], new Float32Array(batch * height * width).fill(weight));
  const [h = 1, w = 1] = mask.shape.slice(-2);
  const sized = resizeTensor({ ...mask, shape: [mask.data.length / (h * w), 1, h, w] }, height, width, 'bicubic');
  const own = toBatch(sized, batch);
  return float32(
    [batch, height, width],
    own.data.map((value) => value * weight),
  );
}

const adaptersOf = ({ extensions = [] }: ModelValue['network']): number =>
  Number(
    extensions.map(({ name }) => /^image-prompts-(\d+)$/.exec(name)?.[1]).find((count) => count !== undefined) ?? 0,
  );

/** The network with one more adapter. */
function extended(network: ModelValue['network'], count: number, attention: WeightSource): ModelValue['network'] {
  const others = (network.extensions ?? []).filter(({ name }) => !name.startsWith('image-prompts-'));
  return {
    ...network,
    weights: joined([network.weights, attention], network.weights.label),
    extensions: [...others, imagePrompts(count)],
  };
}

/** A model that a picture guides. Throws `weights-mismatch` for an adapter of another family. */
export async function withImagePrompt(
  model: ModelValue,
  options: ImagePromptOptions,
  context: NodeContext,
): Promise<ModelValue> {
  const { adapter, embeds, weight, weightType, start, end, mask } = options;
  const { network } = model;
  const file = openControlFile(adapter.source, {
    label: model.label,
    config: network.config,
    weights: network.weights,
  });
  const { config, weights } = file;
  if (config.kind !== 'ip_adapter' || !file.attention)
    throw new StableDiffusionError(
      'model-unknown',
      `${adapter.source.label} is not an IP-Adapter; it is ${config.kind}.`,
    );
  const tokens = await tokensOf({ config, weights }, embeds, context);
  const index = adaptersOf(network);
  const attention = layered(file.attention(index), layerFactors(weightType, network.config));
  const [from, to] = [model.sampling.percentToSigma(start), model.sampling.percentToSigma(end)];
  const levels = (network.config as UNetConfig).channel_mult.length;
  return patched(
    { ...model, network: extended(network, index + 1, attention) },
    {
      promptInputs: [
        ({ prompt, sigma, batch, height, width }) => {
          const own = sigma <= from && sigma >= to ? weight : 0;
          const scales = Array.from({ length: levels }, (_, level) => {
            const side = (length: number): number => Math.ceil(length / 2 ** level);
            return [`image_scale.${index}.${level}`, scaleAt(mask, own, batch, side(height), side(width))] as const;
          });
          const value = expectDType(tokens[prompt === 0 ? 0 : 1], 'float32');
          return { [`image_tokens.${index}`]: toBatch(value, batch), ...Object.fromEntries(scales) };
        },
      ],
    },
  );
}
