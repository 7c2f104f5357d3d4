/** Whole pipelines on tiny models against the recorded runs of CompVis's and runwayml's scripts. */

import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import type { Pipeline } from '../../src/pipelines/events.ts';
import { imageToImage } from '../../src/pipelines/image-to-image.ts';
import { inpaint } from '../../src/pipelines/inpaint.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

interface Settings {
  readonly model: string;
  readonly mode?: 'img2img' | 'masked' | 'inpaint9';
  readonly sampler?: string;
  readonly S: number;
  readonly scale: number;
  readonly n: number;
  readonly H: number;
  readonly W: number;
  readonly seed: number;
  readonly eta?: number;
  readonly strength?: number;
  readonly prompts: readonly string[];
  readonly fixed?: boolean;
  readonly n_iter?: number;
}

interface Case {
  readonly part: string;
  readonly id: string;
  readonly settings: Settings;
  readonly tolerance: { readonly latent: number };
  readonly png: readonly string[];
}

const index = JSON.parse(readFileSync(reference('diffusion/index.json'), 'utf8')) as { cases: Case[] };
const cases = index.cases.filter(({ part, id }) => part === 'pipelines' && id.startsWith('pipelines/'));
const runs = readTensors(reference('diffusion/pipelines/runs.safetensors'));
const picture = async (path: string) =>
  nodeImageCodec.decode(readFileSync(reference(`diffusion/${path}`)), { orientation: 'ignore' });

for (const { id, settings, tolerance, png } of cases) {
  test(id, async () => {
    await using engine = createNodeEngine({ threads: 1 });
    await using model = await loadModel(reference(`diffusion/pipelines/${settings.model}.ckpt`), { engine });
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
    const image = settings.mode ? await picture('pipelines/images/init.png') : undefined;
    const mask = settings.mode ? await picture('pipelines/images/mask.png') : undefined;
    let pipeline: Pipeline;
    if (settings.mode === 'img2img' && image)
      pipeline = imageToImage(model, {
        ...options,
        image,
        ...(settings.strength === undefined ? {} : { strength: settings.strength }),
      });
    else if (settings.mode && image && mask) pipeline = inpaint(model, { ...options, image, mask });
    else pipeline = textToImage(model, { ...options, width: settings.W, height: settings.H });

    const row = { part: 'diffusion/pipelines', case: id, reference: 'CompVis/stable-diffusion scripts' };
    for await (const event of pipeline) {
      if (event.kind !== 'result') continue;
      compareTensor(
        { ...row, output: 'latent', tolerance: tolerance.latent },
        event.latents,
        pick(runs, `${id.replace('pipelines/', '')}.latent`),
      );
      for (const [i, path] of png.entries()) {
        const want = await picture(path);
        const got = event.images[i]?.image;
        let different = 0;
        let largest = 0;
        for (let k = 0; k < want.data.length; k++) {
          const difference = Math.abs((got?.data[k] ?? -1000) - (want.data[k] as number));
          largest = Math.max(largest, difference);
          if (difference > 1) different++;
        }
        recordParity({
          ...row,
          output: `PNG ${i}: share of values off by more than 1 level`,
          error: different / want.data.length,
          tolerance: 0.001,
        });
        recordParity({ ...row, output: `PNG ${i}: levels`, error: largest, tolerance: 2 });
      }
    }
  });
}
