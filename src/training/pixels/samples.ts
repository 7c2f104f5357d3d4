/** Sample grids of a network over pixels in training: few steps of its process, with the averaged weights, always from the same noise. */

import { admProcess, sampleGaussian } from '../../diffusion/gaussian/index.ts';
import type { Engine } from '../../engine/engine.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import { traceUNet } from '../../models/unet.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { expectDType, float32, int64, type Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { TraineeSamples } from '../trainee.ts';
import type { TrainingSection } from '../training-config.ts';
import type { PixelObjective } from './objective.ts';
import type { PixelSettings } from './settings.ts';
import type { PixelBatch, PixelTraining } from './trainee.ts';

interface PixelSampleOptions {
  readonly engine: Engine;
  readonly objective: PixelObjective;
  readonly weights: WeightSource;
  readonly settings: PixelSettings;
  readonly training: TrainingSection;
}

/** Classes of `training.sample_classes`, else of the batch; upsamplers enlarge the small pictures of the batch. */
export function pixelSamples({ engine, objective, weights, settings, training }: PixelSampleOptions) {
  const { network, side, classes } = objective;
  return async (trained: PixelTraining, { inputs }: PixelBatch): Promise<TraineeSamples> => {
    if (network.kind !== 'unet') return { images: [], captions: [] };
    const { state } = trained;
    const bound = trained.averagedInputs();
    const parameters = { inputs: new Set(Object.keys(bound)) };
    await using program = await engine.compile(traceUNet(network), weights, { parameters });
    const steps = Math.min(training.sample_steps, settings.flags.diffusion_steps);
    const process = admProcess({ ...settings.flags, timestep_respacing: `${steps}` });
    const small = inputs['small'] && expectDType(inputs['small'], 'float32');
    const count = Math.min(training.sample_count, small?.shape[0] ?? training.sample_count);
    const labels =
      training.sample_classes.length > 0 ? training.sample_classes : Array.from(inputs['y']?.data ?? [], Number);
    const y =
      classes === undefined
        ? undefined
        : int64(
            [count],
            Array.from({ length: count }, (_, i) => labels[i % labels.length] ?? 0),
          );
    const given = small && takeBatch(small, 0, count);
    const generator = new TorchGenerator(training.sample_seed);
    const noise = (): Tensor<'float32'> => generator.randn([count, 3, side, side]);
    const run = sampleGaussian(
      process,
      async (x, told) => {
        const tensors = {
          x: given ? concatenate([x, given], 1) : x,
          timesteps: float32([told.length], [...told]),
          ...(y ? { y } : {}),
        };
        const [made] = await program.runBound(state, [{ tensors, inputs: bound }]);
        return expectDType(made?.['out'] as Tensor, 'float32');
      },
      noise(),
      { noise },
    );
    let next = await run.next();
    while (!next.done) next = await run.next();
    const images = [...(given ? tensorToImages(given, 'adm') : []), ...tensorToImages(next.value, 'adm')];
    const captions = images.map((_, i) =>
      given && i < count ? 'small picture' : y ? `class ${y.data[i % count]}` : '',
    );
    return { images, captions, ...(given ? { columns: count } : {}) };
  };
}
