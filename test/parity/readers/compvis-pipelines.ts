/** Whole runs on tiny models by CompVis's and runwayml's scripts: final latents and pictures. */

import { join } from 'node:path';
import { loadModel } from '../../../src/model/load-model-node.ts';
import type { Model } from '../../../src/model/model.ts';
import type { Pipeline } from '../../../src/pipelines/events.ts';
import { imageToImage } from '../../../src/pipelines/image-to-image.ts';
import { inpaint } from '../../../src/pipelines/inpaint.ts';
import { textToImage } from '../../../src/pipelines/text-to-image.ts';
import { readPng } from '../../image/read-png.ts';
import { resultOf } from '../../pipelines/result.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { kept } from '../kept.ts';
import { comparePictures } from '../picture-difference.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { toRgb } from '../../../src/image/image.ts';

const tensorsAt = kept(readTensors);
const models = new Map<string, Promise<Model>>();

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'pipelines' && /scripts\/|Sampler\.sample\(mask=/.test(originalOf(row)),
  compare: collecting(async (recorded, compare) => {
    const tolerance: Recorded = recorded.row['tolerance'];
    const runs = tensorsAt(join(recorded.setFolder, 'pipelines/runs.safetensors'));
    const { latents, images } = await resultOf(await pipelineOf(recorded));
    compare.tensor('latent', latents, pick(runs, `${recorded.name}.latent`), tolerance.latent);
    const paths = recorded.row['png'] as readonly string[];
    compare.exact('number of pictures', images.length, paths.length);
    for (const [i, path] of paths.entries()) {
      const want = toRgb(await readPng(join(recorded.setFolder, path)));
      const { max_level_difference: levels, share_of_different_values: shareDifferent } = tolerance.png;
      comparePictures(compare, `PNG ${i}`, images[i]?.image, want, { levels, shareDifferent });
    }
  }),
  async dispose() {
    for (const model of models.values()) await (await model)[Symbol.asyncDispose]();
    models.clear();
  },
};

async function pipelineOf(recorded: RecordedCase): Promise<Pipeline> {
  const settings = settingsOf(recorded);
  const path = join(recorded.setFolder, `pipelines/${settings.model}.ckpt`);
  const loading = models.get(path) ?? loadModel(path, { engine: parityEngine() });
  models.set(path, loading);
  const model = await loading;
  const options = {
    prompt: settings.prompts,
    steps: settings.S,
    guidanceScale: settings.scale,
    seed: settings.seed,
    batchSize: settings.n,
    sampler: settings.sampler === 'dpm' ? 'dpm-solver' : (settings.sampler ?? 'ddim'),
    watermark: false,
    safety: false,
    iterations: settings.n_iter ?? 1,
    fixedCode: settings.fixed ?? false,
    eta: settings.eta,
  };
  if (!settings.mode) return textToImage(model, { ...options, width: settings.W, height: settings.H });
  const picture = async (name: string) => toRgb(await readPng(join(recorded.setFolder, `pipelines/images/${name}`)));
  const image = await picture('init.png');
  if (settings.mode === 'img2img') return imageToImage(model, { ...options, image, strength: settings.strength });
  return inpaint(model, {
    ...options,
    image,
    mask: await readPng(join(recorded.setFolder, 'pipelines/images/mask.png')),
  });
}
