/**
 * DiLoCo beside synchronous training of the same samples, on the emoji of examples/train-pocket: validation losses, and the bytes that a rank
 * sends.
 *
 *     nice node --import ./tools/typescript.mjs bench/diloco.ts PICTURES [steps] [every]
 *
 * PICTURES is the folder data/pictures that examples/train-pocket/train.sh makes. The model has pixels, 16 x 16 in eight classes; two ranks run in
 * this process with one thread. 1,000 steps of each take about ten minutes of one core. Every 16th picture is held out.
 */

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseYaml } from '../src/config/yaml.ts';
import type { Communicator, Moved } from '../src/distributed/communicator.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { train } from '../src/training/train-node.ts';
import { localRanks } from '../test/distributed/local-ranks.ts';

const [pictures = '', steps = '1000', every = '50'] = process.argv.slice(2);
const ranks = 2;
const folder = mkdtempSync(join(tmpdir(), 'diloco-'));
const engine = createNodeEngine({ threads: 1 });

function split(): void {
  const rows = readFileSync(join(pictures, 'metadata.jsonl'), 'utf8').trim().split('\n');
  const parts: Record<string, string[]> = { train: [], held: [] };
  for (const part of Object.keys(parts)) mkdirSync(join(folder, part));
  for (const [i, row] of rows.entries()) {
    const part = i % 16 === 0 ? 'held' : 'train';
    const { file_name: name } = JSON.parse(row) as { readonly file_name: string };
    copyFileSync(join(pictures, name), join(folder, part, name));
    parts[part]?.push(row);
  }
  for (const [part, own] of Object.entries(parts)) writeFileSync(join(folder, part, 'metadata.jsonl'), own.join('\n'));
}

const yaml = `
model:
  target: guided_diffusion.image_train
  base_learning_rate: 5.0e-4
  params: { image_size: 16, num_channels: 32, num_res_blocks: 1, channel_mult: "1,2", attention_resolutions: "8", num_head_channels: 32, class_cond: true, num_classes: 8, class_key: group, diffusion_steps: 1000, noise_schedule: cosine, ema_rate: "0.99" }
data:
  params:
    batch_size: 8
    train: { params: { data_root: ${join(folder, 'train')} } }
    validation: { params: { data_root: ${join(folder, 'held')} } }
lightning:
  trainer: { max_steps: ${steps}, val_check_interval: ${Number(every) * 2} }
  modelcheckpoint: { params: { every_n_train_steps: ${steps} } }
  callbacks: { image_logger: { params: { batch_frequency: 0 } } }
training: { scale_lr: false, log_every: 10, validation_batches: 4, sample_count: 1 }
`;

/** A communicator that adds up the bytes that its rank sends, by ring algorithms: an all-reduce is a reduce-scatter and an all-gather. */
function counted(own: Communicator, sent: { bytes: number }): Communicator {
  const add = <T extends Moved>(values: T, times = 1): T => {
    sent.bytes += (values.byteLength * times * (own.size - 1)) / own.size;
    return values;
  };
  return {
    ...own,
    allReduce: (values, reduction) => own.allReduce(add(values, 2), reduction),
    reduceScatter: (values, counts) => own.reduceScatter(add(values), counts),
    allGather: async (part, counts) => add(await own.allGather(part, counts)),
    allToAll: (values, counts) => own.allToAll(add(values), counts),
    broadcast: (values, root) => own.broadcast(add(values), root),
  };
}

interface Trained {
  /** Validation loss by step. */
  readonly losses: Readonly<Record<number, number>>;
  readonly bytesPerStep: number;
}

async function trained(name: string, training: object): Promise<Trained> {
  const document = parseYaml(yaml, name) as { training: object };
  const sent = { bytes: 0 };
  const options = { label: name, folder: join(folder, name), resume: false, engine, codec: nodeImageCodec };
  await Promise.all(
    localRanks(ranks).map(async (own) => {
      const communicator = own.rank === 0 ? counted(own, sent) : own;
      const given = { ...document, training: { ...document.training, ...training } };
      const events = train({ ...options, document: given, communicator, clock: () => 0 });
      while (!(await events.next()).done);
    }),
  );
  const losses = readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>)
    .flatMap((row) => (row['val/loss'] === undefined ? [] : [[row['step'], row['val/loss']]]));
  return { losses: Object.fromEntries(losses), bytesPerStep: Math.round(sent.bytes / Number(steps)) };
}

try {
  split();
  const print = (name: string, found: object): void => {
    process.stdout.write(`${JSON.stringify({ name, steps: Number(steps), ranks, ...found })}\n`);
  };
  const synchronous = await trained('synchronous', {});
  print('synchronous', synchronous);
  const diloco = await trained('diloco', { diloco: { every: Number(every) } });
  print('diloco', diloco);
  const last = (of: Trained): number => of.losses[Number(steps)] ?? Number.NaN;
  print('ratio', {
    loss: last(diloco) / last(synchronous),
    bytes: diloco.bytesPerStep / synchronous.bytesPerStep,
  });
} finally {
  rmSync(folder, { recursive: true });
  await engine.dispose();
}
