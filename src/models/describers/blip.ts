/**
 * BLIP (Li et al. 2022, arXiv 2201.12086), the part that captions: a vision transformer, and BERT with attention to its tokens as the decoder.
 * `model_base_caption_capfilt_large.pth` and `model_large_caption.pth` of Salesforce, and transformers' `BlipForConditionalGeneration`.
 */

import { add, attention, chunk, expand, gelu, linear, reshape, slice } from '../../graph/functions.ts';
import { addDims, dim } from '../../graph/dim.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { headsFor } from '../../checkpoints/infer/clip.ts';
import { axis, countOf, type Entries, shapeOf, unknown } from '../../checkpoints/infer/shapes.ts';
import { embedding } from '../../nn/embedding.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { visionTokens } from '../../nn/vision-tokens.ts';
import { withNames } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { CaptionNetwork } from './describer.ts';

interface BlipConfig {
  readonly vision: {
    readonly width: number;
    readonly layers: number;
    readonly heads: number;
    readonly inner: number;
    readonly patch: number;
    readonly side: number;
    readonly epsilon: number;
  };
  readonly text: {
    readonly width: number;
    readonly layers: number;
    readonly heads: number;
    readonly inner: number;
    readonly tokens: number;
    readonly longest: number;
    /** The output layer is the table of the input. */
    readonly isTied: boolean;
  };
}

const title = 'BLIP';
const bertEpsilon = 1e-12;

/** x [1, 3, side, side] → [1, 1 + patches, width]. */
function visionTransformer(
  p: Params,
  x: Sym,
  { width, layers, heads, inner, patch, side, epsilon }: BlipConfig['vision'],
): Sym {
  const conv = p.at('patch_embed.proj');
  const tokens = visionTokens(
    x,
    conv.get('weight', [width, 3, patch, patch]),
    reshape(p.get('cls_token', [1, 1, width]), [width]),
    conv.get('bias', [width]),
  );
  let h = add(tokens, p.get('pos_embed', [1, 1 + (side / patch) ** 2, width]));
  for (let i = 0; i < layers; i++) {
    const block = p.at('blocks').at(i);
    h = block.module(() => {
      const joined = linearLayer(block.at('attn.qkv'), layerNormLayer(block.at('norm1'), h, epsilon), 3 * width);
      const [q, k, v] = chunk(joined, 2, 3) as [Sym, Sym, Sym];
      const attended = add(h, linearLayer(block.at('attn.proj'), attention(q, k, v, { heads }), width));
      const wide = gelu(linearLayer(block.at('mlp.fc1'), layerNormLayer(block.at('norm2'), attended, epsilon), inner));
      return add(attended, linearLayer(block.at('mlp.fc2'), wide, width));
    });
  }
  return layerNormLayer(p.at('norm'), h, epsilon);
}

/** Keys and values of the picture's tokens for each layer of the decoder. */
function pictureMemory(p: Params, image: Sym, { width, layers }: BlipConfig['text']): Record<string, Sym> {
  const made: Record<string, Sym> = {};
  for (let i = 0; i < layers; i++) {
    const self = p.at('bert.encoder.layer').at(i).at('crossattention.self');
    made[`keys.${i}`] = linearLayer(self.at('key'), image, width);
    made[`values.${i}`] = linearLayer(self.at('value'), image, width);
  }
  return made;
}

/** `BertSelfOutput` and `BertOutput`: a layer, the shortcut, and a norm. */
function output(p: Params, made: Sym, shortcut: Sym): Sym {
  const dense = linearLayer(p.at('dense'), made, fixedSize(shortcut, -1));
  return layerNormLayer(p.at('LayerNorm'), add(dense, shortcut), bertEpsilon);
}

/** `BertLayer`: attention to the tokens before, to the picture, and a feed-forward layer. */
function decoderLayer(
  p: Params,
  x: Sym,
  memory: readonly [Sym, Sym],
  { width, heads, inner }: BlipConfig['text'],
): Sym {
  return p.module(() => {
    const self = p.at('attention.self');
    const [q, k, v] = ['query', 'key', 'value'].map((name) => linearLayer(self.at(name), x, width)) as [Sym, Sym, Sym];
    const own = output(p.at('attention.output'), attention(q, k, v, { heads, causal: true }), x);
    const query = linearLayer(p.at('crossattention.self.query'), own, width);
    const [b = 1] = x.shape;
    const [keys, values] = memory.map((of) => expand(of, [b, ...of.shape.slice(1)])) as [Sym, Sym];
    const seen = output(p.at('crossattention.output'), attention(query, keys, values, { heads }), own);
    return output(p.at('output'), gelu(linearLayer(p.at('intermediate.dense'), seen, inner)), seen);
  });
}

/** `BertLMHeadModel`: the logits of the token after the last. */
function decoder(p: Params, ids: Sym, memory: (layer: number) => readonly [Sym, Sym], config: BlipConfig['text']): Sym {
  const { width, layers, tokens, longest, isTied } = config;
  const [b = 1, count = 1] = ids.shape;
  const tables = p.at('bert.embeddings');
  const positions = tables.at('position_embeddings').get('weight', [longest, width]);
  const words = embedding(tables.at('word_embeddings'), ids, tokens, width);
  let x = layerNormLayer(tables.at('LayerNorm'), add(words, slice(positions, 0, 0, count)), bertEpsilon);
  for (let i = 0; i < layers; i++) x = decoderLayer(p.at('bert.encoder.layer').at(i), x, memory(i), config);
  const last = reshape(slice(x, 1, addDims(count, -1), count), [b, width]);
  const head = p.at('cls.predictions');
  const changed = gelu(linearLayer(head.at('transform.dense'), last, width));
  const table = isTied ? tables.at('word_embeddings') : head.at('decoder');
  return linear(
    layerNormLayer(head.at('transform.LayerNorm'), changed, bertEpsilon),
    table.get('weight', [tokens, width]),
    head.get('bias', [tokens]),
  );
}

/** Names of transformers in front, the original's behind. */
const ofTransformers: readonly (readonly [theirs: string, original: string])[] = [
  ['vision_model.embeddings.class_embedding', 'visual_encoder.cls_token'],
  ['vision_model.embeddings.position_embedding', 'visual_encoder.pos_embed'],
  ['vision_model.embeddings.patch_embedding.', 'visual_encoder.patch_embed.proj.'],
  ['vision_model.post_layernorm.', 'visual_encoder.norm.'],
];
const inLayers: readonly (readonly [theirs: string, original: string])[] = [
  ['layer_norm1.', 'norm1.'],
  ['layer_norm2.', 'norm2.'],
  ['self_attn.qkv.', 'attn.qkv.'],
  ['self_attn.projection.', 'attn.proj.'],
  ['mlp.', 'mlp.'],
];
const replaced = (name: string, [theirs, original]: readonly [string, string]): string =>
  original + name.slice(theirs.length);

function originalName(name: string): string {
  const row = ofTransformers.find(([theirs]) => name.startsWith(theirs));
  if (row) return replaced(name, row);
  const inLayer = /^vision_model\.encoder\.layers\.(\d+)\.(.*)$/.exec(name);
  const [, number, rest = ''] = inLayer ?? [];
  const part = inLayers.find(([theirs]) => rest.startsWith(theirs));
  return part ? `visual_encoder.blocks.${number}.${replaced(rest, part)}` : name;
}

const wrapper = 'model.';
const withoutWrapper = (name: string): string => (name.startsWith(wrapper) ? name.slice(wrapper.length) : name);
const decoderName = 'text_decoder.bert.embeddings.word_embeddings.weight';

/** Its decoder is what captions; BLIP's networks for other tasks have none. */
export function isBlip(entries: Entries): boolean {
  const has = (name: string): boolean => entries.has(name) || entries.has(wrapper + name);
  return has(decoderName) && (has('visual_encoder.pos_embed') || has('vision_model.embeddings.position_embedding'));
}

function blipConfig(entries: Entries, isTransformers: boolean): BlipConfig {
  const of = (name: string, rank: number, which: number): number => axis(entries, name, rank, which, title);
  const [width = 0, , patch = 0] = shapeOf(entries, 'visual_encoder.patch_embed.proj.weight', 4, title);
  const grid = Math.sqrt(of('visual_encoder.pos_embed', 3, 1) - 1);
  if (!Number.isInteger(grid))
    throw unknown(title, `it has ${grid ** 2 + 1} positions, which is not a square plus one`);
  const [tokens = 0, textWidth = 0] = shapeOf(entries, decoderName, 2, title);
  const assumed: string[] = [];
  return {
    vision: {
      width,
      patch,
      side: grid * patch,
      layers: countOf(entries, 'visual_encoder.blocks.', title),
      heads: headsFor(width, assumed),
      inner: of('visual_encoder.blocks.0.mlp.fc1.weight', 2, 0),
      epsilon: isTransformers ? 1e-5 : 1e-6,
    },
    text: {
      width: textWidth,
      tokens,
      layers: countOf(entries, 'text_decoder.bert.encoder.layer.', title),
      heads: headsFor(textWidth, assumed),
      inner: of('text_decoder.bert.encoder.layer.0.intermediate.dense.weight', 2, 0),
      longest: of('text_decoder.bert.embeddings.position_embeddings.weight', 2, 0),
      isTied: !entries.has('text_decoder.cls.predictions.decoder.weight'),
    },
  };
}

/** Sizes from shapes; heads of 64 channels. Throws `model-unknown`. */
export function readBlip(source: WeightSource): CaptionNetwork {
  const bare = withNames(source, withoutWrapper);
  const isTransformers = bare.entries.has('vision_model.embeddings.position_embedding');
  const weights = isTransformers ? withNames(bare, originalName) : bare;
  const { vision, text } = blipConfig(weights.entries, isTransformers);
  const { side } = vision;
  const patches = 1 + (side / vision.patch) ** 2;
  const layers = Array.from({ length: text.layers }, (_, i) => i);
  const memory = layers.flatMap((i) => [`keys.${i}`, `values.${i}`]);
  return {
    kind: 'captioner',
    title,
    weights,
    side,
    tokens: text.tokens,
    longest: text.longest,
    traceImage: () =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, side, side] } }, (p, given) =>
        pictureMemory(p.at('text_decoder'), visionTransformer(p.at('visual_encoder'), need(given, 'x'), vision), text),
      ),
    traceText: () =>
      traceNetwork(
        {
          ids: { dtype: 'int64', shape: [dim('batch'), dim('tokens')] },
          ...Object.fromEntries(
            memory.map((name) => [name, { dtype: 'float32' as const, shape: [1, patches, text.width] }]),
          ),
        },
        (p, given) => ({
          logits: decoder(
            p.at('text_decoder'),
            need(given, 'ids'),
            (i) => [need(given, `keys.${i}`), need(given, `values.${i}`)],
            text,
          ),
        }),
      ),
  };
}
