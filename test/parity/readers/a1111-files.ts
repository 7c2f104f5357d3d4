/** Files that A1111 reads in its own way: autoencoders apart from a checkpoint, and block weights of LoRAs. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  blockFactor,
  blockModuleName,
  loraBlockOf,
  loraBlockPresets,
  loraBlocks,
  loraBlocksWithAttention,
  parseBlockWeights,
} from '../../../src/adapters/lora/block-weights.ts';
import { parseLoraKey } from '../../../src/adapters/lora/lora-keys.ts';
import { loraLayers } from '../../../src/adapters/lora/lora-modules.ts';
import { partNetwork } from '../../../src/checkpoints/put-together.ts';
import { clipTextConfigSchema, type FirstStageConfig } from '../../../src/config/network-config.ts';
import { v1UNet } from '../../networks.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { openAutoencoder } from '../../../src/model/autoencoder.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';

interface Case {
  readonly recorded: RecordedCase;
  readonly compare: Comparisons;
}

const floats = (tensors: Tensors, name: string): Tensor<'float32'> => toFloat32(pick(tensors, name));
const read = ({ recorded }: Case, file: string): Tensors => readTensors(join(recorded.folder, `${file}.safetensors`));
const valuesOf = ({ recorded }: Case): Readonly<Record<string, Recorded>> =>
  JSON.parse(readFileSync(join(recorded.folder, 'values.json'), 'utf8'));

async function compareAutoencoders(one: Case): Promise<void> {
  const inputs = read(one, 'inputs');
  const wanted = read(one, 'outputs');
  const { folder } = one.recorded;
  for (const file of ['other.vae.pt', 'other.safetensors', 'diffusers/diffusion_pytorch_model.safetensors']) {
    const { config, source } = await partNetwork(await openWeightsAt(join(folder, file)), 'first_stage');
    await using autoencoder = openAutoencoder(config as FirstStageConfig, parityEngine(), source);
    const atol = one.recorded.row['outputs'] as Recorded;
    const item = file;
    one.compare.tensor(
      'decoded',
      await autoencoder.decode(floats(inputs, 'z')),
      pick(wanted, 'decoded'),
      atol.decoded.atol,
      { item },
    );
    one.compare.tensor(
      'moments',
      await autoencoder.encode(floats(inputs, 'image')),
      pick(wanted, 'moments'),
      atol.moments.atol,
      { item },
    );
    await source.close();
  }
}

async function compareBlocks(one: Case): Promise<void> {
  const { BLOCKID17, BLOCKID26, presets, weights17, weights26, elemental, columns, ...keys } = valuesOf(one);
  const { compare } = one;
  compare.exact('BLOCKID17', loraBlocksWithAttention, BLOCKID17);
  compare.exact('BLOCKID26', loraBlocks, BLOCKID26);
  compare.exact('presets', loraBlockPresets, presets);
  const text = loraLayers(clipTextConfigSchema.parse({ kind: 'clip_text' }));
  const unet = loraLayers(v1UNet);
  const sets = [
    parseBlockWeights(weights17.join(',')),
    parseBlockWeights(weights26.join(',')),
    parseBlockWeights(weights17.join(','), elemental),
  ];
  for (const [key, wanted] of Object.entries(keys)) {
    const { network, module } = parseLoraKey(`${key.slice('key '.length)}.lora_up.weight`) ?? {};
    const layer = (network === 'text' ? text : unet).get(module ?? '');
    const name =
      network === 'text' ? blockModuleName('text', module ?? '') : blockModuleName('unet', layer?.weight.tensor ?? '');
    compare.exact(key, [name, loraBlockOf(name) ?? null, ...sets.map((set) => blockFactor(set, name))], wanted);
  }
  compare.exact('columns', columns.length, 5);
}

const kinds: readonly (readonly [original: RegExp, compare: (one: Case) => Promise<void>])[] = [
  [/sd_vae\.load_vae_dict/, compareAutoencoders],
  [/ratiodealer/, compareBlocks],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([original]) => original.test(originalOf(row)));

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'a1111' && kindOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => {
    await kindOf(recorded.row)?.[1]({ recorded, compare });
  }),
};
