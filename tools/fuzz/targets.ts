/** The readers that are fuzzed: how each is run on bytes, and what it begins from. A reader gives a value or throws an error of ours. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openZip } from '../../src/files/zip.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { parseShardIndex } from '../../src/formats/sharded.ts';
import { torchHost } from '../../src/formats/torch/globals.ts';
import { unpickle } from '../../src/formats/torch/pickle.ts';
import { recordSchema } from '../../src/generation/record.ts';
import { parseModelName } from '../../src/hub/model-name.ts';
import { decodeFrames } from '../../src/image/codec/frames-node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readExif } from '../../src/image/metadata/exif.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { readNpy, writeNpy } from '../../src/formats/npy.ts';
import { openNpz, writeNpz } from '../../src/formats/npz.ts';
import { parsePromptAttention } from '../../src/prompt/attention.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { cleanCaption } from '../../src/tokenizer/clean-caption.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { createSentencePieceTokenizer, sentencePieceTokenizer } from '../../src/tokenizer/sentencepiece/tokenizer.ts';
import { readTokenizerJson } from '../../src/tokenizer/sentencepiece/tokenizer-json.ts';
import { parquetDataset } from '../../src/training/data/parquet-node.ts';
import { heapMegabytes } from '../../src/training/data/parquet-thread-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { readTar } from '../../src/training/data/tar.ts';
import { settingTargets } from './setting-targets.ts';
import { serverTargets } from './server-targets.ts';

export interface FuzzTarget {
  /** Reads the bytes as far as a program would. */
  readonly run: (bytes: Uint8Array) => Promise<unknown> | unknown;
  /** Files to change. */
  readonly corpus: () => readonly Uint8Array[];
  /** Memory that a reader may take beyond the limit of all: that of a thread with a limit of its own. */
  readonly threadMegabytes?: number;
}

const root = join(import.meta.dirname, '../..');
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Small files of the fixtures below `folder`. */
function files(folder: string, pattern: RegExp): Uint8Array[] {
  const path = join(root, 'fixtures', folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .map((name) => new Uint8Array(readFileSync(join(path, name))))
    .filter(({ length }) => length > 0 && length < 50_000);
}

async function readAll(label: string, bytes: Uint8Array): Promise<void> {
  const source = await openWeights(memoryBytes(bytes, label));
  for (const name of source.entries.keys()) await source.read(name);
  await source.close();
}

const tokenizer = createClipTokenizer();
const prompts = [
  'a (red:1.3) apple [from:to:0.5] AND [a|b] BREAK, <lora:x:0.8>',
  '((((a]]]] \\( (b:1e9)',
  '🍎 ünïcode ((x)',
];
const infotexts = [
  'red apple\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x, Lora hashes: "a: 1, b: 2"',
  'x\nSteps: 1, Hires upscale: 2, Version: v1.10.1',
];
const picture = (pattern: RegExp): FuzzTarget => ({
  async run(bytes) {
    readImageMetadata(bytes);
    await nodeImageCodec.decode(bytes);
  },
  corpus: () => files('files/images', pattern),
});

export const targets: Readonly<Record<string, FuzzTarget>> = {
  pickle: {
    run: (bytes) =>
      unpickle(
        bytes,
        'x.pkl',
        torchHost('x.pkl', (id) => id),
      ),
    corpus: () => [encode('\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.'), ...files('files/ckpt', /plain|legacy/)],
  },
  zip: {
    async run(bytes) {
      const zip = await openZip(memoryBytes(bytes, 'x.zip'));
      for (const record of zip.records.values()) await zip.read(record);
    },
    corpus: () => files('files/ckpt', /\.(?:ckpt|pt)$/).filter((bytes) => bytes[0] === 0x50),
  },
  torch: { run: (bytes) => readAll('x.ckpt', bytes), corpus: () => files('files/ckpt', /\.(?:ckpt|pt)$/) },
  safetensors: {
    run: (bytes) => readAll('x.safetensors', bytes),
    corpus: () => files('files/safetensors', /\.safetensors$/),
  },
  index: {
    run: (bytes) => parseShardIndex('x.index.json', bytes),
    corpus: () => [encode('{"metadata":{"total_size":8},"weight_map":{"a":"x-1.safetensors","b":"x-2.safetensors"}}')],
  },
  yaml: {
    run(bytes) {
      parseYaml(decode(bytes), 'x.yaml');
      parseModelConfig(decode(bytes), 'x.yaml');
    },
    corpus: () => [
      ...files('networks', /\.(?:yaml|json)$/),
      new Uint8Array(readFileSync(join(root, 'models/pocket.yaml'))),
    ],
  },
  tar: {
    async run(bytes) {
      for await (const file of readTar(memoryStream(bytes), { label: 'x.tar' })) void file;
    },
    corpus: () => files('files/datasets', /\.tar$/),
  },
  parquet: {
    async run(bytes) {
      const data = await parquetDataset([memoryBytes(bytes, 'x.parquet')], {
        problems: createProblems(),
        limits: { milliseconds: 500 },
      });
      for (const shard of data.shards.keys()) for await (const sample of data.open(shard)) void sample;
      await data.close();
    },
    corpus: () => files('files', /\.parquet$/),
    threadMegabytes: heapMegabytes,
  },
  png: picture(/\.png$/),
  jpeg: picture(/\.jpe?g$/),
  webp: picture(/\.webp$/),
  gif: picture(/\.gif$/),
  exif: {
    run: (bytes) => readExif(bytes),
    corpus: () => [encode('MM\0*\0\0\0\x08\0\x01\x01\x0e\0\x02\0\0\0\x04abc\0\0\0\0\0')],
  },
  infotext: { run: (bytes) => parseInfotext(decode(bytes)), corpus: () => infotexts.map(encode) },
  prompt: {
    run(bytes) {
      parsePromptAttention(decode(bytes));
      tokenizer.encode(decode(bytes).slice(0, 1000));
    },
    corpus: () => prompts.map(encode),
  },
  record: {
    run(bytes) {
      let value: unknown;
      try {
        value = JSON.parse(decode(bytes));
      } catch {
        return;
      }
      recordSchema.safeParse(value);
    },
    corpus: () => [
      encode(
        '{"version":1,"pipeline":"txt2img","prompts":["a"],"seed":1,"steps":20,"sampler":"ddim","width":64,"height":64}',
      ),
    ],
  },
  gguf: {
    run: (bytes) => readAll('x.gguf', bytes),
    corpus: () => files('families', /\.gguf$/),
  },
  npy: { run: (bytes) => readNpy(bytes, 'x.npy'), corpus: () => [writeNpy(float32([2, 3], new Float32Array(6)))] },
  npz: {
    async run(bytes) {
      const npz = await openNpz(memoryBytes(bytes, 'x.npz'));
      for (const name of npz.names) await npz.read(name);
    },
    corpus: () => [writeNpz({ arr_0: float32([2, 3], new Float32Array(6)), names: ['a', 'bc'] })],
  },
  sentencepiece: {
    run: (bytes) => createSentencePieceTokenizer(bytes).encode('a red apple 🍎'),
    corpus: () => files('tokenizer', /\.model$/),
  },
  'tokenizer-json': {
    run: (bytes) => sentencePieceTokenizer(readTokenizerJson(decode(bytes))).encode('a red apple 🍎'),
    corpus: () => files('tokenizer/sentencepiece', /-(?:user|bytes)\.json$/),
  },
  frames: { run: (bytes) => decodeFrames(bytes), corpus: () => files('files/images', /\.(?:gif|webp|png)$/) },
  caption: {
    run: (bytes) => cleanCaption(decode(bytes)),
    corpus: () => ['a <b>red</b> &amp; www.x.com 12x34 a1b2 "x" @y #123', ...prompts].map(encode),
  },
  ...serverTargets,
  ...settingTargets,
  name: {
    run: (bytes) => parseModelName(decode(bytes)),
    corpus: () => ['hf:org/name@main/a.safetensors', 'urn:air:sd1:checkpoint:civitai:1@2'].map(encode),
  },
};

async function* memoryStream(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += 4096) yield bytes.subarray(at, at + 4096);
}
