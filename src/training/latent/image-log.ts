/**
 * What `LatentDiffusion.log_images` shows of a model in training (ddpm.py): a batch's pictures and their reconstructions, rows of growing
 * noise, samples under the conditions of the batch, and rows of the guesses on the way.
 */

import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { trainingConditioner } from '../../conditioning/conditioners.ts';
import type { Given } from '../../conditioning/conditioner.ts';
import type { DiffusionModel, Latent } from '../../diffusion/denoiser.ts';
import { guidedModel } from '../../diffusion/guidance.ts';
import { qSample } from '../../diffusion/inpainting.ts';
import type { SamplingRequest } from '../../diffusion/sampler.ts';
import { ddim } from '../../diffusion/samplers/ddim.ts';
import { ddpm } from '../../diffusion/samplers/ddpm.ts';
import { type Image, toRgb } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import { Model } from '../../model/model.ts';
import { runForOne } from '../../model/network-set.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { joinBatches, type NetworkInputs, takeBatch } from '../../tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../../tensor/tensor.ts';
import type { ImageLogSettings, LoggedImages } from '../image-log.ts';
import { layoutOf } from '../data/layouts.ts';
import type { LatentDiffusionSampleOptions } from './samples.ts';
import type { LatentDiffusionBatch } from './trainee.ts';

type Options = Pick<LatentDiffusionSampleOptions, 'engine' | 'tokenizer' | 'seed'>;

/** Latents noted every so often on the way of a sampler from x_T. */
interface Noted {
  readonly sample: Latent;
  readonly states: readonly Latent[];
  readonly guesses: readonly Latent[];
}

/** The conditions of the first `count` items, as inputs of the network. */
async function conditionOf(
  model: Model,
  { inputs, items }: LatentDiffusionBatch,
  count: number,
): Promise<NetworkInputs> {
  const { takes } = trainingConditioner(model.checkpoint.config);
  const own = items.slice(0, count);
  const first = (name: string): Tensor | undefined => inputs[name] && takeBatch(inputs[name], 0, count);
  const { concat, map, class: classes } = { concat: first('concat'), map: first('map'), class: first('class') };
  if (map) {
    const x = expectDType(map, 'float32');
    return { concat: await runForOne(model.networks, { network: 'cond_stage', output: 'out' }, { x }) };
  }
  const given: Given =
    takes === 'texts'
      ? { texts: own.map(({ caption }) => caption) }
      : takes === 'layouts'
        ? { layouts: own.map(layoutOf) }
        : classes
          ? { classes: Array.from(classes.data, Number) }
          : {};
  const encoded = Object.keys(given).length > 0 ? await model.encode(given) : {};
  return { ...encoded, ...(concat ? { concat } : {}) };
}

/** The pictures of one batch, kind by kind; `most` of each. Decodes with the model as it is now. */
class ImageLog {
  readonly #model: Model;
  readonly #settings: ImageLogSettings;
  readonly #batch: LatentDiffusionBatch;
  readonly #generator: TorchGenerator;
  readonly #x0: Latent;
  /** Items that are shown. */
  readonly #count: number;

  constructor(model: Model, batch: LatentDiffusionBatch, settings: ImageLogSettings, seed: number) {
    const x0 = expectDType(batch.inputs['x0'] as Tensor, 'float32');
    this.#count = Math.min(x0.shape[0] ?? 0, settings.log.N);
    this.#x0 = takeBatch(x0, 0, this.#count);
    this.#model = model;
    this.#settings = settings;
    this.#batch = batch;
    this.#generator = new TorchGenerator(seed);
  }

  #noise(): Latent {
    return this.#generator.randn(this.#x0.shape);
  }

  #shown(name: string, images: readonly Image[]): LoggedImages {
    return { name, images: images.slice(0, this.#settings.most).map(toRgb) };
  }

  async #decoded(name: string, latents: Latent): Promise<LoggedImages> {
    return this.#shown(name, tensorToImages(await this.#model.decodeLatent(latents)));
  }

  /** One row for each picture, a column for each of `states`. */
  async #rows(name: string, states: readonly Latent[]): Promise<LoggedImages> {
    const columns: Image[][] = [];
    for (const state of states) columns.push(tensorToImages(await this.#model.decodeLatent(state)));
    const rows = columns[0] ?? [];
    return {
      name,
      images: rows.flatMap((_, i) => columns.map((column) => toRgb(column[i] as Image))),
      columns: states.length,
    };
  }

  #diffusionRow(): Promise<LoggedImages> {
    const { schedule, checkpoint } = this.#model;
    const { timesteps, log_every_t: every } = checkpoint.config;
    const start = takeBatch(this.#x0, 0, Math.min(this.#count, this.#settings.log.n_row));
    const shown = Array.from({ length: timesteps }, (_, t) => t).filter((t) => t % every === 0 || t === timesteps - 1);
    return this.#rows(
      'diffusion_row',
      shown.map((t) => qSample(schedule, start, t, this.#generator.randn(start.shape))),
    );
  }

  /** Samples by DDIM, else over all timesteps; `every` steps counted from the end are noted. */
  async #sample(guided: DiffusionModel, more: Partial<SamplingRequest> = {}, isAncestral = false): Promise<Noted> {
    const { ddim_steps: few, ddim_eta: eta } = this.#settings.log;
    const { timesteps, log_every_t, first_stage_config } = this.#model.checkpoint.config;
    const all = isAncestral || few === null;
    const [sampler, steps, every] = all ? [ddpm, timesteps, log_every_t] : [ddim, Math.min(few, timesteps), 100];
    const startNoise = this.#noise();
    const run = sampler.run({
      model: guided,
      steps,
      startNoise,
      stepNoise: { convention: 'diffusers', normal: (shape) => this.#generator.randn(shape) },
      // Models of pixels clip their guesses.
      settings: { ...(all ? {} : { eta }), clipDenoised: first_stage_config.kind === 'identity' },
      ...more,
    });
    const [states, guesses]: [Latent[], Latent[]] = [[startNoise], []];
    for (;;) {
      const next = await run.next();
      if (next.done) return { sample: next.value, states, guesses };
      const left = steps - next.value.step;
      if (left % every !== 0 && next.value.step !== 1) continue;
      states.push(next.value.latent);
      guesses.push(next.value.denoised);
    }
  }

  /** 0 in the middle quarter, 1 around it. */
  #mask(): Latent {
    const [, , h = 1, w = 1] = this.#x0.shape;
    const within = (at: number, side: number): boolean => at >= Math.floor(side / 4) && at < Math.floor((3 * side) / 4);
    const data = Float32Array.from({ length: h * w }, (_, i) =>
      within(Math.floor(i / w), h) && within(i % w, w) ? 0 : 1,
    );
    return float32([1, 1, h, w], data);
  }

  async *#samples(guided: DiffusionModel): AsyncGenerator<LoggedImages, void, void> {
    const { log } = this.#settings;
    const { sample, states } = await this.#sample(guided);
    yield await this.#decoded('samples', sample);
    if (log.plot_denoise_rows) yield await this.#rows('denoise_row', states);
    if (log.quantize_denoised && this.#model.checkpoint.config.first_stage_config.kind === 'vq') {
      const quantize = (latent: Latent): Promise<Latent> => this.#model.quantizeLatent(latent);
      yield await this.#decoded('samples_x0_quantized', (await this.#sample(guided, { quantize })).sample);
    }
    if (!log.inpaint) return;
    const mask = this.#mask();
    for (const [name, kept] of [
      ['samples_inpainting', mask],
      ['samples_outpainting', { ...mask, data: mask.data.map((value) => 1 - value) }],
    ] as const) {
      const inpainting = { mask: kept, latent: this.#x0 };
      yield await this.#decoded(name, (await this.#sample(guided, { inpainting })).sample);
    }
    yield this.#shown('mask', tensorToImages(joinBatches(new Array<Latent>(this.#count).fill(mask))));
  }

  async *all(): AsyncGenerator<LoggedImages, void, void> {
    const { log } = this.#settings;
    const model = this.#model;
    const images = this.#batch.items.slice(0, this.#count).flatMap((item) => ('image' in item ? [item.image] : []));
    if (images.length > 0) yield this.#shown('inputs', images);
    yield await this.#decoded('reconstruction', this.#x0);
    const condition = await conditionOf(model, this.#batch, this.#count);
    const { concat } = condition;
    if (concat && concat.shape[1] === 3)
      yield this.#shown('conditioning', tensorToImages(expectDType(concat, 'float32')));
    if (log.plot_diffusion_rows) yield await this.#diffusionRow();
    const { schedule, parameterization, denoiser } = model;
    const guided = guidedModel({
      network: (inputs, signal) => model.predict(inputs, signal),
      schedule,
      parameterization,
      learnsVariance: denoiser.learnsVariance,
      condition,
    });
    if (log.sample) yield* this.#samples(guided);
    if (log.plot_progressive_rows)
      yield await this.#rows('progressive_row', (await this.#sample(guided, {}, true)).guesses);
  }
}

/** Makes and yields kind after kind. */
export async function* latentImageLog(
  checkpoint: Checkpoint,
  batch: LatentDiffusionBatch,
  settings: ImageLogSettings,
  { engine, tokenizer, seed }: Options,
): AsyncGenerator<LoggedImages, void, void> {
  await using model = new Model({
    engine,
    checkpoint,
    ownsCheckpoint: false,
    tokenizers: new Map(tokenizer ? [['cond_stage', tokenizer]] : []),
  });
  yield* new ImageLog(model, batch, settings, seed).all();
}
