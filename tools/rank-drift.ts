/**
 * How far a run of several ranks is from the run of one with the same whole batch, and how far that run is from itself when every weight it starts
 * from is moved by one unit in the last place.
 *
 *     nice node --import ./tools/typescript.mjs tools/rank-drift.ts [steps] [trainer …]
 *
 * Trainers: autoencoder, adversarial, diffusion, lora; all by default, 50 steps. Each has a small learning rate (LDM's 4.5e-6 for each picture of
 * a batch), at which losses must agree to 1e-5, and a large one, at which Adam makes any rounding grow. The ranks run in this process, on tiny models
 * with one thread; about five minutes. Prints a line of JSON for each pair of runs: the largest relative difference of the loss over the steps, and
 * the largest difference of a weight at the end. Exits with 1 where ranks differ by more than 1e-5 and by more than ten times what the moved
 * weights do.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { withOverrides } from '../src/config/overrides.ts';
import { parseYaml, stringifyYaml } from '../src/config/yaml.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { openFile } from '../src/files/byte-source-node.ts';
import { writeFileAtomic } from '../src/files/write-file-node.ts';
import { openSafetensors } from '../src/formats/safetensors.ts';
import { writeSafetensors } from '../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { createImage } from '../src/image/image.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { recipes } from '../src/training/recipes.ts';
import { train } from '../src/training/train-node.ts';
import { localRanks } from '../test/distributed/local-ranks.ts';
import { writeTextModel } from '../test/distributed/text-model.ts';
import { adversarialYaml, autoencoderYaml, diffusionYaml } from '../test/training/tiny-yaml.ts';

const [steps = '50', ...chosen] = process.argv.slice(2);
const wholeBatch = 4;
const rates = [4.5e-6 * wholeBatch, 1e-3];
const tolerance = 1e-5;
const folder = mkdtempSync(join(tmpdir(), 'rank-drift-'));
const at = (...parts: string[]): string => join(folder, ...parts);
const engine = createNodeEngine({ threads: 1 });

interface Trainer {
  readonly yaml: string;
  /** A file of weights to start from, and the setting that names it. */
  readonly start: string;
  readonly setting: string;
  readonly words?: readonly string[];
}

async function run({ yaml, words = [] }: Pick<Trainer, 'yaml' | 'words'>, name: string, size: number): Promise<void> {
  const document = withOverrides(parseYaml(yaml, name), [
    `lightning.trainer.max_steps=${steps}`,
    'lightning.trainer.accumulate_grad_batches=1',
    `lightning.modelcheckpoint.params.every_n_train_steps=${steps}`,
    'lightning.callbacks.image_logger.params.batch_frequency=0',
    'training.log_every=1',
    `data.params.batch_size=${wholeBatch / size}`,
    ...words,
  ]);
  const options = { document, label: name, folder: at(name), resume: false, engine, codec: nodeImageCodec };
  await Promise.all(
    localRanks(size).map(async (communicator) => {
      const events = train({ ...options, communicator, clock: () => 0 });
      while (!(await events.next()).done);
    }),
  );
}

const losses = (name: string): number[] =>
  readFileSync(at(name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as Record<string, number>)['train/loss'])
    .filter((loss) => loss !== undefined);

/** Weights and averages of the last checkpoint. */
async function weights(name: string): Promise<Map<string, Tensor>> {
  const source = await openSafetensors(await openFile(at(name, 'checkpoints', 'last.safetensors')));
  const out = new Map<string, Tensor>();
  for (const tensor of source.entries.keys())
    if (!/^exp_avg|sha256$/.test(tensor)) out.set(tensor, await source.read(tensor));
  await source.close();
  return out;
}

/** Largest differences of losses, relative, and of weights. */
async function difference(name: string, other: string): Promise<{ loss: number; weight: number }> {
  const [one, two] = [losses(name), losses(other)];
  const relative = one.map((loss, i) => Math.abs((two[i] ?? Number.NaN) / loss - 1));
  const theirs = await weights(other);
  let weight = 0;
  for (const [tensor, { data }] of await weights(name))
    for (const [i, value] of (data as Float32Array).entries())
      weight = Math.max(weight, Math.abs(value - Number(theirs.get(tensor)?.data[i])));
  return { loss: Math.max(...relative), weight };
}

/** A copy of a file of weights, each moved to the next float32 away from zero. */
async function moved(from: string): Promise<string> {
  const to = from.replace('first', 'moved');
  mkdirSync(dirname(to), { recursive: true });
  const source = await openSafetensors(await openFile(from));
  const next = async ({ name }: { readonly name: string }): Promise<Tensor> => {
    const { data, ...tensor } = await source.read(name);
    const values = Float32Array.from(data as Float32Array);
    const bits = new Uint32Array(values.buffer);
    for (const [i, value] of values.entries()) if (value !== 0) bits[i] = (bits[i] as number) + 1;
    return { ...tensor, data: values } as Tensor;
  };
  await writeFileAtomic(to, writeSafetensors(source.entries.values(), next));
  await source.close();
  writeFileSync(to.replace(/safetensors$/, 'yaml'), readFileSync(from.replace(/safetensors$/, 'yaml')));
  return to;
}

async function compare(name: string, trainer: Trainer, rate: number): Promise<boolean> {
  const from = async (start: string, what: string, size: number): Promise<string> => {
    const own = `${name} at ${rate}, ${what}`;
    const words = [`model.base_learning_rate=${rate}`, `${trainer.setting}=${start}`, ...(trainer.words ?? [])];
    await run({ yaml: trainer.yaml, words }, own, size);
    return own;
  };
  const one = await from(trainer.start, '1 rank', 1);
  const print = (runs: string, found: { loss: number; weight: number }): void => {
    process.stdout.write(`${JSON.stringify({ trainer: name, rate, steps: Number(steps), runs, ...found })}\n`);
  };
  const own = await difference(one, await from(await moved(trainer.start), 'moved', 1));
  print('1 rank, weights moved by a unit in the last place', own);
  let good = true;
  for (const size of [2, 4]) {
    const found = await difference(one, await from(trainer.start, `${size} ranks`, size));
    print(`${size} ranks`, found);
    good &&= found.loss <= Math.max(tolerance, 10 * own.loss);
  }
  return good;
}

mkdirSync(at('pictures'));
const rows: string[] = [];
for (let i = 0; i < 12; i++) {
  const image = createImage(20, 16, 3);
  for (const p of image.data.keys()) image.data[p] = (p % 3 === i % 3 ? 150 : 20) + Math.trunc(p / 60) * 2 + 3 * i;
  writeFileSync(at('pictures', `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  rows.push(JSON.stringify({ file_name: `${i}.png`, text: `picture ${i % 3}` }));
}
writeFileSync(at('pictures', 'metadata.jsonl'), rows.join('\n'));

const autoencoder = at('first autoencoder', 'model.safetensors');
const diffusion = at('first diffusion', 'model.safetensors');
const random = at('first random', 'model.safetensors');
const autoencoderText = autoencoderYaml(at('pictures'));
const diffusionText = diffusionYaml(at('pictures'), autoencoder).replace(/sample_prompts: \[.*?\], /, '');
const trainers: Readonly<Record<string, Trainer>> = {
  autoencoder: { yaml: autoencoderText, start: autoencoder, setting: 'training.init' },
  adversarial: {
    yaml: adversarialYaml(at('pictures')),
    start: autoencoder,
    setting: 'training.init',
    words: ['training.sync_batch_norm=true'],
  },
  diffusion: { yaml: diffusionText, start: diffusion, setting: 'training.init' },
  lora: {
    yaml: stringifyYaml(recipes['lora']?.document),
    // Its weights are random: fresh layers that begin as zeros would give a LoRA no gradient.
    start: random,
    setting: 'model.params.ckpt_path',
    words: [`data.params.train.params={data_root: ${at('pictures')}, size: 16}`],
  },
};

try {
  mkdirSync(dirname(random));
  await writeTextModel(random);
  const one = ['lightning.trainer.max_steps=1'];
  await run({ yaml: autoencoderText, words: one }, 'first autoencoder', 1);
  await run({ yaml: diffusionText, words: one }, 'first diffusion', 1);
  for (const [name, trainer] of Object.entries(trainers))
    if (chosen.length === 0 || chosen.includes(name))
      for (const rate of rates) if (!(await compare(name, trainer, rate))) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
  await engine.dispose();
}
