/** `sd train` from a YAML and a folder of pictures to a run's folder: its files, an interruption, and a resume that ends with the same weights. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { withOverrides } from '../../src/config/overrides.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { train, type TrainOptions } from '../../src/training/train-node.ts';
import type { TrainingEvent } from '../../src/training/loop-node.ts';

const engine = createNodeEngine({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), 'loop-'));
after(async () => {
  await engine.dispose();
  rmSync(folder, { recursive: true });
});

/** Squares of one colour, with captions. */
const pictures = join(folder, 'pictures');
mkdirSync(pictures);
for (let i = 0; i < 6; i++) {
  const image = createImage(20, 16, 3);
  image.data.forEach((_, at) => {
    image.data[at] = (at % 3 === i % 3 ? 220 : 30) + ((at / 60) | 0);
  });
  writeFileSync(join(pictures, `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  writeFileSync(join(pictures, `${i}.txt`), `a ${['red', 'green', 'blue'][i % 3]} square`);
}

const yaml = `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.autoencoder.AutoencoderKL
  params:
    monitor: val/rec_loss
    embed_dim: 2
    use_ema: true
    lossconfig: { target: MultiscaleReconstruction, params: { scales: 2, kl_weight: 1.0e-6 } }
    ddconfig: { double_z: true, z_channels: 2, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0 }
data:
  params:
    batch_size: 2
    train: { params: { data_root: ${pictures}, random_crop: true, flip_p: 0.5 } }
    validation: { params: { data_root: ${pictures} } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 3 } }
  callbacks: { image_logger: { params: { batch_frequency: 4 } } }
  trainer: { max_steps: 8, accumulate_grad_batches: 2, gradient_clip_val: 1.0 }
training: { scale_lr: false, log_every: 2, keep_best: 2 }
`;

const optionsOf = (run: string, overrides: readonly string[] = []): TrainOptions => ({
  document: withOverrides(parseYaml(yaml, 'a.yaml'), overrides), label: 'a.yaml', folder: join(folder, run), resume: true, engine, codec: nodeImageCodec, report: true, clock: () => 1_700_000_000_000,
});

async function events(options: TrainOptions, each: (event: TrainingEvent) => void = () => {}): Promise<TrainingEvent[]> {
  const out: TrainingEvent[] = [];
  for await (const event of train(options)) {
    out.push(event);
    each(event);
  }
  return out;
}

const file = (run: string, name: string): Buffer => readFileSync(join(folder, run, name));

test('an autoencoder from YAML: the run\'s folder, and a resume after an interruption with the same weights', async () => {
  const whole = await events({ ...optionsOf('whole'), resume: false });
  assert.deepEqual(whole.at(-1), { kind: 'end', step: 8, status: 'finished' });
  assert.deepEqual(whole.flatMap((event) => (event.kind === 'checkpoint' ? [event.step] : [])), [3, 6, 8]);
  assert.deepEqual(readdirSync(join(folder, 'whole')).filter((name) => !name.startsWith('events')).sort(), ['checkpoints', 'config.yaml', 'metrics.jsonl', 'model.safetensors', 'model.yaml', 'report.html', 'samples']);
  assert.equal(readdirSync(join(folder, 'whole', 'checkpoints')).length, 3);
  assert.deepEqual(readdirSync(join(folder, 'whole', 'samples')), ['step-00000004.png', 'step-00000008.png']);
  const rows = file('whole', 'metrics.jsonl').toString().trim().split('\n').map((line): Record<string, number> => JSON.parse(line));
  assert.deepEqual(rows.filter((row) => 'train/loss' in row).map(({ step }) => step), [2, 4, 6, 8]);
  assert.ok(rows.some((row) => (row['val/rec_loss'] ?? 0) > 0));
  await assert.rejects(events({ ...optionsOf('whole'), resume: false }), { code: 'invalid-argument' });

  const controller = new AbortController();
  const stopped = await events({ ...optionsOf('parts'), signal: controller.signal }, (event) => {
    if (event.kind === 'step' && event.step === 5) controller.abort();
  });
  assert.deepEqual(stopped.at(-1), { kind: 'end', step: 5, status: 'stopped' });
  const resumed = await events(optionsOf('parts'));
  assert.equal(resumed.find((event) => event.kind === 'step')?.step, 6);
  for (const name of ['checkpoints/last.safetensors', 'model.safetensors', 'samples/step-00000008.png']) assert.ok(file('parts', name).equals(file('whole', name)), name);
});
