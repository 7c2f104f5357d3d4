/** T5's encoder, SentencePiece's ids, and the cleaning of captions for DeepFloyd IF. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectNetwork } from '../../../src/checkpoints/detect.ts';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import { forward } from '../../../src/model/forward.ts';
import { relativePositionBucket } from '../../../src/models/t5-encoder.ts';
import { int64, type Tensor } from '../../../src/tensor/tensor.ts';
import { cleanCaption, cleanCaptionOnce } from '../../../src/tokenizer/clean-caption.ts';
import { createSentencePieceTokenizer } from '../../../src/tokenizer/sentencepiece/tokenizer.ts';
import { pick } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import type { LineageCase, Loose } from '../lineage-case.ts';
import { type Comparison, compareExactly, originalOf } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

async function* encoder(recorded: LineageCase): AsyncGenerator<Comparison> {
  const config = huggingFaceNetwork(recorded.json('config.json'), recorded.name);
  if (config.kind !== 't5_encoder') throw new Error(`${recorded.name} is not of T5`);
  const weights = recorded.weights('model');
  // What names and shapes do not tell is what a file without its configuration gets.
  const { relative_attention_max_distance: _, layer_norm_epsilon: __, ...told } = { ...config } as Loose;
  const found: Loose = detectNetwork(weights).config;
  yield compareExactly('config', Object.fromEntries(Object.keys(told).map((key) => [key, found[key]])), told);
  const run = (inputs: Readonly<Record<string, Tensor>>) =>
    forward({ engine: parityEngine(), config, weights, inputs: new Map(Object.entries(inputs)) });
  const ids = recorded.tensor('input_ids');
  const masked = await run({ input_ids: ids, attention_mask: recorded.tensor('attention_mask') });
  for (const name of recorded.outputs.keys())
    if (masked.has(name) && name !== 'position_bias') yield recorded.compare(name, masked.get(name));
  const last = 'last_hidden_state';
  yield recorded.compare(`no_mask.${last}`, (await run({ input_ids: ids })).get(last));
  yield recorded.compare(`short.${last}`, (await run({ input_ids: recorded.tensor('short_ids') })).get(last));
  const tokens = pick(recorded.outputs, 'position_bias').shape[2] ?? 0;
  const any = int64([1, tokens], new Array<number>(tokens).fill(0));
  yield recorded.compare('position_bias', (await run({ input_ids: any })).get('position_bias'));
  const count = pick(recorded.outputs, 'buckets').shape[0] ?? 0;
  const buckets = Array.from({ length: count }, (_, i) => relativePositionBucket(i - (count >> 1), config));
  yield recorded.compare('buckets', int64([count], buckets));
}

/** Outputs of every row: one comparison of each kind. */
function* rows<R>(found: readonly R[], checks: Readonly<Record<string, (row: R) => readonly [unknown, unknown]>>) {
  if (found.length === 0) throw new Error('there are no rows');
  for (const [name, check] of Object.entries(checks)) {
    const pairs = found.map(check);
    yield compareExactly(
      name,
      pairs.map(([got]) => got),
      pairs.map(([, want]) => want),
    );
  }
}

function* tokens(recorded: LineageCase): Generator<Comparison> {
  const tokenizer = createSentencePieceTokenizer(readFileSync(join(recorded.folder, 'spiece.model')));
  interface Row {
    readonly text: string;
    readonly pieces: readonly string[];
    readonly ids: readonly number[];
    readonly ids_77: readonly number[];
    readonly decoded: string;
  }
  yield* rows<Row>(recorded.json('ids.json'), {
    ids: (row) => [tokenizer.encode(row.text), row.ids],
    pieces: (row) => [tokenizer.pieces(row.text), row.pieces],
    ids_77: (row) => [tokenizer.tokenize(row.text, { length: row.ids_77.length }).ids, row.ids_77],
    decoded: (row) => [tokenizer.decode(row.ids), row.decoded],
  });
}

function* captions(recorded: LineageCase): Generator<Comparison> {
  interface Row {
    readonly caption: string;
    readonly once: string;
    readonly twice: string;
    readonly text_preprocessing: string;
    readonly plain: string;
  }
  yield* rows<Row>(recorded.json('captions.json'), {
    once: (row) => [cleanCaptionOnce(row.caption), row.once],
    twice: (row) => [cleanCaptionOnce(cleanCaptionOnce(row.caption)), row.twice],
    text_preprocessing: (row) => [cleanCaption(row.caption), row.text_preprocessing],
    plain: (row) => [cleanCaption(row.caption, false), row.plain],
  });
}

export const reader = lineageReader(
  [
    [/T5EncoderModel/, encoder],
    [/^sentencepiece /, tokens],
    [/_clean_caption/, captions],
  ],
  originalOf,
);
