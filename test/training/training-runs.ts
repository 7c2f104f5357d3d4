/** What the tests of training runs have in common: a folder with small pictures and captions, and runs from YAML over it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withOverrides } from '../../src/config/overrides.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { nodeImageCodec } from '../../src/image/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import type { TrainingEvent } from '../../src/training/loop-node.ts';
import { train, type TrainOptions } from '../../src/training/train-node.ts';

export interface TrainingRuns {
  readonly folder: string;
  /** Six pictures of 20x16 pixels, `a red square` and so on, with the class in their metadata. */
  readonly pictures: string;
  options(yaml: string, run: string, overrides?: readonly string[]): TrainOptions;
  file(run: string, name: string): Buffer;
  /** The metrics of a run by step. */
  metrics(run: string): readonly Readonly<Record<string, number>>[];
  remove(): void;
}

export const colours = ['red', 'green', 'blue'] as const;

export async function trainingRuns(engine: Engine): Promise<TrainingRuns> {
  const folder = mkdtempSync(join(tmpdir(), 'training-'));
  const pictures = join(folder, 'pictures');
  mkdirSync(pictures);
  const rows: string[] = [];
  for (let i = 0; i < 6; i++) {
    const image = createImage(20, 16, 3);
    for (let at = 0; at < image.data.length; at++) image.data[at] = (at % 3 === i % 3 ? 200 : 20) + Math.trunc(at / 60) * 2 + 3 * i;
    writeFileSync(join(pictures, `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
    rows.push(JSON.stringify({ file_name: `${i}.png`, text: `a ${colours[i % 3]} square`, class_label: i % 3 }));
  }
  writeFileSync(join(pictures, 'metadata.jsonl'), rows.join('\n'));
  const file = (run: string, name: string): Buffer => readFileSync(join(folder, run, name));
  return {
    folder,
    pictures,
    options: (yaml, run, overrides = []) => ({
      document: withOverrides(parseYaml(yaml, 'test.yaml'), overrides), label: 'test.yaml', folder: join(folder, run), resume: true, engine, codec: nodeImageCodec, report: true, clock: () => 1_700_000_000_000,
    }),
    file,
    metrics: (run) => file(run, 'metrics.jsonl').toString().trim().split('\n').map((line): Record<string, number> => JSON.parse(line)),
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** All events of a run. */
export async function eventsOf(options: TrainOptions, each: (event: TrainingEvent) => void = () => {}): Promise<TrainingEvent[]> {
  const out: TrainingEvent[] = [];
  for await (const event of train(options)) {
    out.push(event);
    each(event);
  }
  return out;
}

/** A run that is stopped after a step, as by Ctrl-C. */
export function stoppedAfter(step: number, options: TrainOptions): Promise<TrainingEvent[]> {
  const controller = new AbortController();
  return eventsOf({ ...options, signal: controller.signal }, (event) => {
    if (event.kind === 'step' && event.step === step) controller.abort();
  });
}

/** A small autoencoder's configuration, in YAML's flow form. */
export const ddconfig = '{ double_z: true, z_channels: 2, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0 }';

export const autoencoderYaml = (pictures: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.autoencoder.AutoencoderKL
  params:
    monitor: val/rec_loss
    embed_dim: 2
    use_ema: true
    lossconfig: { target: MultiscaleReconstruction, params: { scales: 2, kl_weight: 1.0e-6 } }
    ddconfig: ${ddconfig}
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
