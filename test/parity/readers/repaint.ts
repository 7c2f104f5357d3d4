/** RePaint: lists of timesteps with jumps back, and every step of a run with a small network of diffusers. */

import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import type { UNetConfig } from '../../../src/config/network-config.ts';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import { type RepaintStep, repaintTimesteps, sampleRepaint } from '../../../src/diffusion/samplers/repaint.ts';
import type { NoiseSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { createImage } from '../../../src/image/image.ts';
import { resize } from '../../../src/image/resize.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments } from '../fitted.ts';
import { compileGraph, type LineageCase, lineageCase, type Loose, timestepsOf } from '../lineage-case.ts';
import { type Comparison, compareExactly, type Reader } from '../reader.ts';

/** Sides cut to multiples of 32: the picture by lanczos, the mask by nearest and cut at one half. */
function* preprocessed(recorded: LineageCase): Generator<Comparison> {
  const [picture, mask] = [recorded.tensor('pil_image'), recorded.tensor('pil_mask')];
  const [h = 0, w = 0] = picture.shape;
  const [height, width] = [h - (h % 32), w - (w % 32)];
  const bytes = (value: Tensor): Uint8Array => Uint8Array.from(value.data as Uint8Array);
  const image = resize(createImage(w, h, 3, bytes(picture)), width, height, 'lanczos');
  const plane = height * width;
  const planes = Float32Array.from(
    { length: 3 * plane },
    (_, i) => Math.fround(2 * Math.fround((image.data[(i % plane) * 3 + Math.floor(i / plane)] as number) / 255)) - 1,
  );
  yield recorded.compare('preprocessed.image', float32([1, 3, height, width], planes));
  const grey = resize(createImage(w, h, 1, bytes(mask)), width, height, 'nearest');
  yield recorded.compare(
    'preprocessed.mask',
    float32(
      [1, height, width],
      Float32Array.from(grey.data, (value) => (value / 255 < 0.5 ? 0 : 1)),
    ),
  );
}

const joinedLatents = (values: readonly Tensor[]): Tensor => {
  const data = values.flatMap((value) => Array.from(value.data as ArrayLike<number>));
  return float32([data.length], data);
};

async function* compare(recorded: LineageCase): AsyncGenerator<Comparison> {
  for (const row of recorded.json('timesteps.json')) {
    const { num_inference_steps: steps, jump_length: jumpLength, jump_n_sample: jumpSamples } = row;
    yield compareExactly(
      `timesteps of ${steps}, ${jumpLength}, ${jumpSamples}`,
      repaintTimesteps(row.num_train_timesteps, { steps, jumpLength, jumpSamples }),
      row.timesteps,
    );
  }
  yield* preprocessed(recorded);
  const { settings } = recorded;
  const { num_inference_steps: steps, jump_length: jumpLength, jump_n_sample: jumpSamples, eta } = settings;
  const order = repaintTimesteps(settings.num_train_timesteps, { steps, jumpLength, jumpSamples });
  yield recorded.compare('timesteps', {
    dtype: 'int64',
    shape: [order.length],
    data: BigInt64Array.from(order, BigInt),
  });
  const config = huggingFaceNetwork({ _class_name: 'UNet2DModel', ...recorded.json('config.json') }, 'config.json');
  const { source } = canonicalWeights(recorded.weights('unet'), config as UNetConfig);
  const program = await compileGraph(traceUNet(config as UNetConfig), source);
  const scheduleOf = ([betaStart, betaEnd]: readonly number[]): NoiseSchedule =>
    schedulerOf('DDPMScheduler', {
      num_train_timesteps: settings.num_train_timesteps,
      beta_schedule: settings.beta_schedule,
      beta_start: betaStart,
      beta_end: betaEnd,
    }).schedule;
  const predict = async (x: Latent, t: number): Promise<Latent> => {
    const timesteps = timestepsOf(new Array<number>(x.shape[0] ?? 1).fill(t));
    return expectDType((await program.run({ x, timesteps }))['out'] as Tensor, 'float32');
  };
  const runOf = async (betas: readonly number[], most = Number.POSITIVE_INFINITY): Promise<RepaintStep[]> => {
    let draws = 1;
    const model: DiffusionModel = { schedule: scheduleOf(betas), parameterization: 'eps', predict };
    const made: RepaintStep[] = [];
    for await (const step of sampleRepaint(model, recorded.noise(0), {
      steps,
      jumpLength,
      jumpSamples,
      eta,
      known: recorded.input('image'),
      mask: recorded.input('mask'),
      noise: () => recorded.noise(draws++),
    })) {
      made.push(step);
      if (made.length === most) break;
    }
    return made;
  };
  // The index need not state the betas: those whose first steps come closest.
  const first = [...recorded.outputs.keys()].filter((name) => /^[0-4]\.(step|undo)/.test(name));
  const betas = await fittedArguments(
    [settings.beta_start ?? 0.002, settings.beta_end ?? 0.2],
    async (given) => joinedLatents((await runOf(given, first.length)).map(({ latent }) => latent)),
    joinedLatents(first.map((name) => pick(recorded.outputs, name))),
  );
  const made = await runOf(betas);
  for (const [index, { kind, latent, denoised }] of made.entries()) {
    yield recorded.compare(`${index}.${kind}`, latent);
    if (kind === 'step') yield recorded.compare(`${index}.pred_original_sample`, denoised);
  }
  const last = made.at(-1)?.latent;
  if (last) {
    const [n = 0, c = 0, h = 0, w = 0] = last.shape;
    const data = Float32Array.from(last.data, (_, i) => {
      const [at, channel] = [Math.floor(i / c) % (h * w), i % c];
      const value = last?.data[(Math.floor(i / (c * h * w)) * c + channel) * h * w + at] as number;
      return Math.min(Math.max(value / 2 + 0.5, 0), 1);
    });
    yield recorded.compare('picture', float32([n, h, w, c], data));
  }
  await program.dispose();
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^RePaint/.test(String((row as Loose).exercises)),
  async *compare(raw) {
    yield* compare(lineageCase(raw));
  },
};
