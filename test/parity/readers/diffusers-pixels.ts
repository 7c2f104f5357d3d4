/** Folders of diffusers without text: unconditional models of pixels and of latents, and super-resolution, loaded as a user's folder is. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { diffusersSampler } from '../../../src/diffusion/diffusers/scheduler.ts';
import { writeFileAtomic } from '../../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../../src/formats/safetensors-write.ts';
import { createImage } from '../../../src/image/image.ts';
import { initImageTensor } from '../../../src/image/init-image.ts';
import { tensorToImages } from '../../../src/image/image-tensor.ts';
import { loadModel } from '../../../src/model/load-model-node.ts';
import type { Model } from '../../../src/model/model.ts';
import { imageToImage } from '../../../src/pipelines/image-to-image.ts';
import { textToImage } from '../../../src/pipelines/text-to-image.ts';
import { clamp, linearCombination } from '../../../src/tensor/arithmetic.ts';
import { float32, tensor, type Tensor } from '../../../src/tensor/tensor.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { resultOf } from '../../pipelines/result.ts';
import { parityEngine } from '../engine.ts';
import type { LineageCase, Loose } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

type Documents = Readonly<Record<string, unknown>>;

/** Writes a folder of a pipeline, and gives the model in it. */
async function withFolder<T>(
  documents: Documents,
  weights: Readonly<Record<string, WeightSource>>,
  use: (model: Model) => AsyncIterable<T>,
): Promise<T[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sd-folder-'));
  try {
    for (const [file, document] of Object.entries(documents)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), JSON.stringify(document));
    }
    for (const [part, source] of Object.entries(weights)) {
      const entries = [...source.entries.values()];
      const path = join(folder, part, 'diffusion_pytorch_model.safetensors');
      await writeFileAtomic(
        path,
        writeSafetensors(entries, ({ name }) => source.read(name)),
      );
    }
    await using model = await loadModel(folder, { engine: parityEngine() });
    const made: T[] = [];
    for await (const one of use(model)) made.push(one);
    return made;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The recorded noise as the run's own; its first draw is the start. */
function noiseOf(recorded: LineageCase, name: string) {
  const all = recorded.input(name);
  const shape = all.shape.slice(1);
  const size = shape.reduce((product, side) => product * side, 1);
  let next = 0;
  const draw = (): Latent => ({ dtype: 'float32', shape, data: all.data.slice(next * size, ++next * size) });
  return { start: draw(), source: { convention: 'diffusers' as const, normal: draw } };
}

const toUnit = (x: Latent): Latent =>
  clamp(linearCombination([0.5, x], [0.5, { ...x, data: x.data.map(() => 1) }]), 0, 1);

/** NCHW as NHWC. */
function channelsLast({ shape, data }: Latent): Latent {
  const [n = 0, c = 0, h = 0, w = 0] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    const [b, at, k] = [Math.floor(i / (c * h * w)), Math.floor(i / c) % (h * w), i % c];
    out[i] = data[(b * c + k) * h * w + at] as number;
  }
  return float32([n, h, w, c], out);
}

function bytesOf(picture: Latent): Tensor {
  const images = tensorToImages(picture, 'diffusers');
  const [first] = images;
  return tensor(
    'uint8',
    [images.length, first?.height ?? 0, first?.width ?? 0, 3],
    Uint8Array.from(images.flatMap(({ data }) => [...data])),
  );
}

interface Settings {
  readonly noise: string;
  readonly className: string;
  readonly scheduler: Loose;
  readonly steps: number;
  readonly eta?: number;
  readonly clippedEps?: boolean;
}

const common = (recorded: LineageCase, { noise, className, scheduler, steps, eta, clippedEps }: Settings) => {
  const { start, source } = noiseOf(recorded, noise);
  return {
    steps,
    guidanceScale: 1,
    batchSize: start.shape[0] ?? 1,
    noise: 'diffusers' as const,
    watermark: false,
    startNoise: start,
    noiseSource: source,
    sampler: diffusersSampler(className, scheduler, { useClippedModelOutput: clippedEps ?? false }),
    ...(eta === undefined ? {} : { eta }),
  };
};

async function* unconditional(recorded: LineageCase): AsyncIterable<Comparison> {
  const { settings } = recorded;
  const { variance_type, ddim_eta: eta, pixel_scheduler: pixels, latent_scheduler: latents, steps } = settings;
  const unet = recorded.json('unet_config.json');
  const compared = async function* (model: Model, name: string, own: Settings): AsyncIterable<Comparison> {
    const result = await resultOf(textToImage(model, common(recorded, own)));
    const decoded = await model.decodeLatent(result.latents);
    yield recorded.compare(`${name}.picture`, channelsLast(toUnit(decoded)));
    yield recorded.compare(`${name}.bytes`, bytesOf(decoded));
  };
  const ofPixels = { noise: 'noise', scheduler: pixels, steps };
  const ddpm = { ...ofPixels, className: 'DDPMScheduler', scheduler: { ...pixels, variance_type } };
  const ddim = { ...ofPixels, className: 'DDIMScheduler', eta };
  const index = (name: string, more: Documents = {}): Documents => ({
    _class_name: name,
    scheduler: ['diffusers', 'DDPMScheduler'],
    unet: ['diffusers', 'UNet2DModel'],
    ...more,
  });
  const own = { unet: recorded.weights('unet', undefined) };
  const pixelFolder = {
    'model_index.json': index('DDPMPipeline'),
    'unet/config.json': unet,
    'scheduler/scheduler_config.json': { _class_name: 'DDPMScheduler', ...pixels },
  };
  yield* await withFolder(pixelFolder, own, async function* (model) {
    yield* compared(model, 'ddpm', ddpm);
    yield* compared(model, 'ddim', ddim);
    yield* compared(model, 'ddim_clipped_eps', { ...ddim, clippedEps: true, eta: 0 });
  });
  const other = join(recorded.folder, dirname(String(recorded.row.vqvae_from)), 'folder.json');
  const latentFolder = {
    'model_index.json': index('LDMPipeline', { vqvae: ['diffusers', 'VQModel'] }),
    'unet/config.json': unet,
    'vqvae/config.json': JSON.parse(readFileSync(other, 'utf8'))['vqvae/config.json'],
    'scheduler/scheduler_config.json': { _class_name: 'DDIMScheduler', ...latents },
  };
  yield* await withFolder(latentFolder, { ...own, vqvae: recorded.weights('vqvae') }, (model) =>
    compared(model, 'ldm', { noise: 'noise', className: 'DDIMScheduler', scheduler: latents, steps }),
  );
}

async function* superResolution(recorded: LineageCase): AsyncIterable<Comparison> {
  const { num_inference_steps: steps, scheduler } = recorded.settings;
  const [h = 0, w = 0] = recorded.tensor('picture').shape;
  const image = createImage(w, h, 3, Uint8Array.from(recorded.tensor('picture').data as Uint8Array));
  const runs = [...recorded.outputs.keys()].flatMap((name) => /^(.*)\.picture$/.exec(name)?.[1] ?? []);
  const weights = { unet: recorded.weights('unet', undefined), vqvae: recorded.weights('vqvae', undefined) };
  yield* await withFolder(recorded.json('folder.json'), weights, async function* (model) {
    for (const run of runs) {
      const isPicture = run.startsWith('pil');
      const eta = Number(/eta([\d.]+)$/.exec(run)?.[1] ?? 0);
      const own = { noise: isPicture ? 'noise_pil' : 'noise', className: 'DDIMScheduler', scheduler, steps, eta };
      const states: Latent[] = [];
      const given = isPicture ? { image } : { pixels: recorded.input('low') };
      const result = await resultOf(imageToImage(model, { ...common(recorded, own), ...given }), (event) => {
        if (event.kind === 'step') states.push(event.latent);
      });
      for (const [i, state] of states.entries()) yield recorded.compare(`${run}.step${i}`, state);
      const decoded = await model.decodeLatent(result.latents);
      yield recorded.compare(`${run}.picture`, toUnit(decoded));
      yield recorded.compare(`${run}.bytes`, bytesOf(decoded));
    }
  });
  yield recorded.compare('preprocessed', initImageTensor(image));
}

export const reader = lineageReader([
  [/^DDPMPipeline, DDIMPipeline/, unconditional],
  [/^LDMSuperResolutionPipeline/, superResolution],
]);
