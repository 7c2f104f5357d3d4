/** DDPM as a target: losses with gradients, and ancestral sampling of pixels over all timesteps, from the configuration of a user. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../../src/checkpoints/checkpoint.ts';
import { wholeModel } from '../../../src/config/whole-model.ts';
import { modelSection } from '../../../src/config/ldm-config.ts';
import { parseYaml } from '../../../src/config/yaml.ts';
import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { betasOf } from '../../../src/diffusion/model-schedule.ts';
import { ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import { textToImage } from '../../../src/pipelines/text-to-image.ts';
import { Model } from '../../../src/model/model.ts';
import { float32 } from '../../../src/tensor/tensor.ts';
import { withNames } from '../../../src/weights/view.ts';
import { parityEngine } from '../engine.ts';
import { type LineageCase, lineageCase } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';
import { channelsFirst, zooLoss } from '../zoo-model.ts';

/** The recorded noise: the start, then one draw a step. */
async function* samples(recorded: LineageCase, name: string, model: Model): AsyncIterable<Comparison> {
  const shape = recorded.noise(0).shape;
  let draws = 0;
  const stepNoise = { convention: 'compvis' as const, normal: () => recorded.noise(1 + draws++) };
  const states: Latent[] = [];
  for await (const event of textToImage(model, {
    steps: model.schedule.trainTimesteps,
    sampler: 'ddpm',
    batchSize: shape[0] ?? 1,
    height: shape[2] ?? 1,
    width: shape[3] ?? 1,
    startNoise: recorded.noise(0),
    noiseSource: stepNoise,
    guidanceScale: 1,
    watermark: false,
  }))
    if (event.kind === 'step') states.push(event.latent);
  yield recorded.compare(`${name}.x.0`, recorded.noise(0));
  for (const [i, state] of states.entries()) yield recorded.compare(`${name}.x.${i + 1}`, state);
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^DDPM as a target/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const prefix = recorded.row.weight_prefix_in_a_checkpoint;
    const weights = withNames(recorded.weights(), (name) => `${prefix}${name}`);
    const files = readdirSync(recorded.folder).filter((file) => file.endsWith('.yaml'));
    for (const file of files) {
      const name = file.replace(/\.yaml$/, '');
      const document = parseYaml(readFileSync(join(recorded.folder, file), 'utf8'), file);
      const config = wholeModel(modelSection(document, file), file);
      const inputs = {
        x0: channelsFirst(recorded.tensor('image')),
        noise: recorded.input('loss_noise'),
        t: recorded.tensor('t'),
      };
      yield* zooLoss(recorded, config, weights, inputs, {}, `${name}.`);
      const { v_posterior: vPosterior, parameterization } = config;
      const { lvlb_weights: lvlb } = ddpmBuffers(betasOf(config), { vPosterior, parameterization });
      yield recorded.compare(`${name}.lvlb_weights`, float32([lvlb.length], lvlb));
      const checkpoint = await openCheckpoint(weights, { config: document });
      const model = new Model({ engine: parityEngine(), checkpoint });
      yield* samples(recorded, name, model);
      await model.networks.dispose();
    }
  },
};
