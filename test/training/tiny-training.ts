/** A tiny model, its items and losses, for the tests of adapters' training. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { ldmUNet } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { ClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import type { LoraTrainingOptions } from '../../src/training/adapt/lora.ts';
import { trainAdapter } from '../../src/training/adapt/train-adapter.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import { keepPrograms } from '../kept-programs.ts';
import { reference } from '../reference.ts';

export const engine = keepPrograms(createNodeEngine({ threads: 2 }));

export const tiny = reference('diffusion/pipelines/tiny.ckpt');

export const checkpoint = await openCheckpointAt(tiny);

export const tokenizer = (await loadModel(tiny, { engine })).tokenizer as ClipTokenizer;

export const folder = mkdtempSync(join(tmpdir(), 'sd-adapt-'));

after(async () => {
  await engine.dispose();
  await checkpoint.close();
  rmSync(folder, { recursive: true });
});

export const size = (): number => 2 ** (ldmUNet(checkpoint.config.unet_config).channel_mult.length + 1);

export const item = (i: number, caption: string): TrainingItem => ({
  name: `${i}`,
  caption,
  metadata: {},
  latents: new TorchGenerator(i).randn([checkpoint.config.unet_config.in_channels, size(), size()]),
});

export const items = (caption: string): TrainingItem[] => [item(1, caption), item(2, caption)];

export async function* endless(list: readonly TrainingItem[]): AsyncGenerator<{ items: readonly TrainingItem[] }> {
  for (;;) yield { items: list };
}

export async function losses(
  trainee: Trainee<unknown>,
  steps: number,
  options: { readonly learningRate?: number; readonly firstStep?: number; readonly caption?: string } = {},
): Promise<number[]> {
  const made: number[] = [];
  const { learningRate = 1e-2, firstStep = 0, caption = 'a cat' } = options;
  for await (const { metrics } of trainAdapter(trainee, {
    batches: endless(items(caption)),
    steps,
    learningRate,
    firstStep,
  }))
    made.push(metrics['loss'] as number);
  return made;
}

export async function writeModel(trainee: Trainee<unknown>, name: string): Promise<string> {
  const { entries, provide, metadata } = trainee.model();
  const path = join(folder, name);
  await writeFileAtomic(path, writeSafetensors(entries, provide, metadata ? { metadata } : {}));
  return path;
}

/** A path beside one layer, which begins as nothing: the least that can be trained. */
export const least: Pick<LoraTrainingOptions, 'unet'> = {
  unet: { rank: 1, targets: (name) => name === 'out.2.weight' },
};
