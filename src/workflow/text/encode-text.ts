/**
 * A prompt as ComfyUI encodes it: sequences of 77 tokens, each encoded alone and joined along the tokens; the context of a token of weight w
 * is moved from the empty prompt's, (z - z_empty) w + z_empty. The pooled vector is the first sequence's, without weights.
 */

import { comfyChunks, comfyWords, type TokenGroup, type WeightedTokens } from '../../prompt/comfy-prompt.ts';
import { idTensor } from '../../conditioning/text.ts';
import { StableDiffusionError } from '../../errors.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { ClipValue, TextEncoderValue } from '../values/clip.ts';
import type { ConditioningEntry } from '../values/conditioning.ts';
import { type ComfyToken, findEmbedding, withRows } from './embeddings.ts';

type Float32 = Tensor<'float32'>;

/** What an encoder makes of a prompt. */
export interface EncodedText {
  /** float32 [1, tokens, width]. */
  readonly context: Float32;
  /** float32 [1, width]. */
  readonly pooled: Float32 | undefined;
}

/** The sequences of a prompt for one encoder of `clip`. Embeddings that are not there are left out; one of another family is refused. */
export async function promptTokens(
  encoder: TextEncoderValue,
  prompt: string,
  context: NodeContext,
  clip?: ClipValue,
): Promise<WeightedTokens<ComfyToken>[]> {
  const { tokenizer } = encoder;
  const groups: TokenGroup<ComfyToken>[] = [];
  for (const word of comfyWords(prompt)) {
    let text = word.kind === 'text' ? word.text : word.rest;
    if (word.kind === 'embedding') {
      const { found, rest } = await findEmbedding(word.name, { encoder: encoder.name, clip }, context);
      if (found)
        groups.push({
          tokens: Array.from({ length: found.vectors.shape[0] ?? 0 }, (_, row) => ({ embedding: found, row })),
          weight: word.weight,
        });
      text = rest === '' ? text : `${rest} ${text}`;
    }
    if (text !== '') groups.push({ tokens: tokenizer.encode(text), weight: word.weight });
  }
  return comfyChunks<ComfyToken>(groups, { start: tokenizer.startId, end: tokenizer.endId, pad: tokenizer.padId });
}

/** Name of the output that a layer is: -1 the last, -2 the one before it; beyond the first layer, the last through the norm. */
function outputOf({ network, normsEarlierLayers, layer: usual }: TextEncoderValue, layer: number | undefined): string {
  const { num_hidden_layers: count } = network.config;
  const wanted = layer ?? usual;
  if (Math.abs(wanted) > count || (layer === undefined && usual === -1)) return 'last_hidden_state';
  const state = count + 1 + wanted;
  return normsEarlierLayers
    ? state === count
      ? 'last_hidden_state'
      : `final_norm.${state}`
    : `hidden_states.${state}`;
}

/** (z - empty) w + empty for tokens whose weight is not 1. */
export function weigh(context: Float32, empty: Float32, weights: readonly number[]): Float32 {
  const width = context.shape[2] ?? 1;
  const data = context.data.slice();
  for (const [token, weight] of weights.entries()) {
    if (weight === 1) continue;
    const factor = Math.fround(weight);
    for (let i = token * width; i < (token + 1) * width; i++) {
      const base = empty.data[i] as number;
      data[i] = Math.fround(Math.fround((data[i] as number) - base) * factor) + base;
    }
  }
  return { ...context, data };
}

/** Encodes sequences with one encoder. */
export async function encodeTokens(
  encoder: TextEncoderValue,
  layer: number | undefined,
  chunks: readonly WeightedTokens<ComfyToken>[],
  { networks, signal }: NodeContext,
): Promise<EncodedText> {
  const { network, tokenizer } = encoder;
  const { network: extended, rows } = withRows(
    encoder,
    chunks.map(({ tokens }) => tokens),
  );
  const isWeighted = chunks.some(({ weights }) => weights.some((weight) => weight !== 1));
  const empty = [tokenizer.startId, tokenizer.endId];
  while (empty.length < (rows[0]?.length ?? 77)) empty.push(tokenizer.padId);
  const ids = isWeighted ? [...rows, empty] : rows;
  const output = outputOf(encoder, layer);
  const pooledName = network.config.with_projection ? 'text_embeds' : 'pooled';
  const results = await networks.run(extended, { outputs: [output, pooledName] }, { input_ids: idTensor(ids) }, signal);
  const states = expectDType(results[output] as Tensor, 'float32', output);
  const contexts = chunks.map(({ weights }, i) => {
    const own = takeBatch(states, i, i + 1);
    return isWeighted ? weigh(own, takeBatch(states, chunks.length, chunks.length + 1), weights) : own;
  });
  const [first, ...others] = contexts;
  return {
    context: concatenate([first as Float32, ...others], 1),
    pooled: takeBatch(expectDType(results[pooledName] as Tensor, 'float32', pooledName), 0, 1),
  };
}

/** The conditioning of texts, one for each encoder: contexts joined along their width, cut to the shortest; the last encoder's pooled vector. */
export async function encodePrompts(
  clip: ClipValue,
  texts: readonly (readonly WeightedTokens<ComfyToken>[])[],
  context: NodeContext,
): Promise<ConditioningEntry> {
  const encoded: EncodedText[] = [];
  for (const [i, encoder] of clip.encoders.entries())
    encoded.push(await encodeTokens(encoder, clip.layer, texts[i] ?? [], context));
  const tokens = Math.min(...encoded.map((one) => one.context.shape[1] ?? 0));
  const [first, ...others] = encoded.map((one) => cutTokens(one.context, tokens));
  return {
    cond: others.length > 0 ? concatenate([first as Float32, ...others], 2) : (first as Float32),
    pooled_output: encoded.at(-1)?.pooled,
    ...(clip.hooks && { hooks: clip.hooks }),
  };
}

/** float32 [1, width]: the last encoder's pooled vector of a text, without its projection. */
export async function pooledPhrase(clip: ClipValue, text: string, context: NodeContext): Promise<Float32> {
  const encoder = clip.encoders.at(-1);
  if (!encoder) throw new StableDiffusionError('invalid-argument', `${clip.label} has no text encoder.`);
  const chunks = await promptTokens(encoder, text, context, clip);
  const { network, rows } = withRows(
    encoder,
    chunks.map(({ tokens }) => tokens),
  );
  const { pooled } = await context.networks.run(
    network,
    { outputs: ['pooled'] },
    { input_ids: idTensor(rows.slice(0, 1)) },
    context.signal,
  );
  return expectDType(pooled as Tensor, 'float32', 'pooled');
}

/** The first tokens of a context. */
export function cutTokens(context: Float32, tokens: number): Float32 {
  const [batch = 1, own = 0, width = 0] = context.shape;
  if (own === tokens) return context;
  const data = new Float32Array(batch * tokens * width);
  for (let b = 0; b < batch; b++)
    data.set(context.data.subarray(b * own * width, (b * own + Math.min(own, tokens)) * width), b * tokens * width);
  return { ...context, shape: [batch, tokens, width], data };
}

/** A text for all encoders. */
export async function encodeText(clip: ClipValue, text: string, context: NodeContext): Promise<ConditioningEntry> {
  const texts = [];
  for (const encoder of clip.encoders) texts.push(await promptTokens(encoder, text, context, clip));
  return encodePrompts(clip, texts, context);
}
