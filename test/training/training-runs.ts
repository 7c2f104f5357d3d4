/** What the tests of training runs have in common: an engine, a folder with small pictures and captions, and runs from YAML over it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { withOverrides } from '../../src/config/overrides.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import type { TrainingEvent } from '../../src/training/loop-options.ts';
import { train, type TrainOptions } from '../../src/training/train-node.ts';

export interface TrainingRuns {
  readonly engine: Engine;
  readonly folder: string;
  /** Six pictures of 20x16 pixels, `a red square` and so on, with the class in their metadata. */
  readonly pictures: string;
  options(yaml: string, run: string, overrides?: readonly string[]): TrainOptions;
  file(run: string, name: string): Buffer;
  /** The metrics of a run by step. */
  metrics(run: string): readonly Readonly<Record<string, number>>[];
}

export const colours = ['red', 'green', 'blue'] as const;

/** For a test file: engine and folder are gone when its tests are done. */
export async function trainingRuns(): Promise<TrainingRuns> {
  const engine = createNodeEngine({ threads: 1 });
  const folder = mkdtempSync(join(tmpdir(), 'training-'));
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const pictures = join(folder, 'pictures');
  mkdirSync(pictures);
  const rows: string[] = [];
  for (let i = 0; i < 6; i++) {
    const image = createImage(20, 16, 3);
    for (let at = 0; at < image.data.length; at++)
      image.data[at] = (at % 3 === i % 3 ? 200 : 20) + Math.trunc(at / 60) * 2 + 3 * i;
    writeFileSync(join(pictures, `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
    rows.push(JSON.stringify({ file_name: `${i}.png`, text: `a ${colours[i % 3]} square`, class_label: i % 3 }));
  }
  writeFileSync(join(pictures, 'metadata.jsonl'), rows.join('\n'));
  const file = (run: string, name: string): Buffer => readFileSync(join(folder, run, name));
  return {
    engine,
    folder,
    pictures,
    options: (yaml, run, overrides = []) => ({
      document: withOverrides(parseYaml(yaml, 'test.yaml'), overrides),
      label: 'test.yaml',
      folder: join(folder, run),
      resume: true,
      engine,
      codec: nodeImageCodec,
      report: true,
      clock: () => 1_700_000_000_000,
    }),
    file,
    metrics: (run) =>
      file(run, 'metrics.jsonl')
        .toString()
        .trim()
        .split('\n')
        .map((line): Record<string, number> => JSON.parse(line)),
  };
}

/** All events of a run. */
export async function eventsOf(
  options: TrainOptions,
  each: (event: TrainingEvent) => void = () => {},
): Promise<TrainingEvent[]> {
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
export const ddconfig =
  '{ double_z: true, z_channels: 2, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0 }';

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

/** A small text-to-image model over that autoencoder, in four steps; its weights lie at `autoencoder`. */
export const diffusionYaml = (pictures: string, autoencoder: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 100
    image_size: 8
    channels: 2
    cond_stage_key: txt
    cond_stage_trainable: true
    conditioning_key: crossattn
    scale_by_std: true
    use_ema: true
    ucg_training: { txt: { p: 0.5, val: "" } }
    scheduler_config: { target: ldm.lr_scheduler.LambdaLinearScheduler, params: { warm_up_steps: [2], cycle_lengths: [100], f_start: [0.1], f_max: [1.0], f_min: [0.1] } }
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: { image_size: 8, in_channels: 2, out_channels: 2, model_channels: 32, num_res_blocks: 1, attention_resolutions: [2], channel_mult: [1, 1], num_heads: 2, use_spatial_transformer: true, transformer_depth: 1, context_dim: 16, use_checkpoint: false, legacy: false }
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params: { ckpt_path: ${autoencoder}, embed_dim: 2, ddconfig: ${ddconfig}, lossconfig: { target: torch.nn.Identity } }
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params: { hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32, vocab_size: 1024, max_position_embeddings: 77, max_length: 12 }
data:
  params: { batch_size: 2, train: { params: { data_root: ${pictures}, size: 16, flip_p: 0.5 } } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 2 } }
  callbacks: { image_logger: { params: { batch_frequency: 0 } } }
  trainer: { max_steps: 4, accumulate_grad_batches: 2, gradient_clip_val: 1.0 }
training: { scale_lr: false, ema_decay: 0.9, log_every: 1, keep_best: 1, sample_prompts: [a red square, a blue square], sample_steps: 2, noise_offset: 0.1, input_perturbation: 0.1, min_snr_gamma: 5 }
`;
