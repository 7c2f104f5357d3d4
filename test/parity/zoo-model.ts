/** The latent diffusion model of a recorded case of CompVis's zoo: its configuration and weights opened as a user's checkpoint is. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { ldmModel, modelSection } from '../../src/config/ldm-config.ts';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import { isMapping, type Mapping } from '../../src/config/validate.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { DiffusionModel, Latent } from '../../src/diffusion/denoiser.ts';
import { type Condition, guidedModel } from '../../src/diffusion/guidance.ts';
import { type DdimOptions, sampleDdim } from '../../src/diffusion/samplers/ddim.ts';
import { ddimSteps, ddimTimesteps } from '../../src/diffusion/timesteps.ts';
import { gradients } from '../../src/graph/gradients.ts';
import { Model } from '../../src/model/model.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { type Conditioning, conditioningOf } from '../../src/training/latent/conditioning.ts';
import { traceLatentDiffusionLoss } from '../../src/training/latent/loss.ts';
import { joined } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { parityEngine } from './engine.ts';
import { compileGraph, type LineageCase } from './lineage-case.ts';
import type { Comparison } from './reader.ts';

/** The configuration of a case, or of the one whose weights it has; `params` replace its own. */
export function zooDocument(recorded: LineageCase, params: Mapping = {}): Mapping {
  const own = join(recorded.folder, 'config.yaml');
  const from = join(recorded.folder, dirname(String(recorded.row.weights_from ?? '.')), 'config.yaml');
  const path = existsSync(own) ? own : from;
  const section = modelSection(parseYaml(readFileSync(path, 'utf8'), path), path);
  const given = isMapping(section['params']) ? section['params'] : {};
  return { ...section, params: { ...given, ...params } };
}

export const zooConfig = (recorded: LineageCase, params?: Mapping): LatentDiffusionConfig =>
  ldmModel(zooDocument(recorded, params), recorded.name);

/** Weights of several sources; the first that has a tensor gives it. */
export const firstOf = (sources: readonly WeightSource[]): WeightSource => {
  const seen = new Set<string>();
  const parts = sources.map((source): WeightSource => {
    const entries = new Map([...source.entries].filter(([name]) => !seen.has(name)));
    for (const name of entries.keys()) seen.add(name);
    return { ...source, entries };
  });
  return joined(parts, 'recorded');
};

export async function zooModel(recorded: LineageCase, weights: WeightSource, params?: Mapping): Promise<Model> {
  const checkpoint = await openCheckpoint(weights, { config: { model: zooDocument(recorded, params) } });
  return new Model({ engine: parityEngine(), checkpoint });
}

/** NHWC as NCHW. */
export function channelsFirst({ shape, data }: Tensor): Latent {
  const [n = 0, h = 0, w = 0, c = 0] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    const [b, channel, at] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)];
    out[i] = Number(data[(b * h * w + at) * c + channel]);
  }
  return float32([n, c, h, w], out);
}

/** The model with a condition, and with guidance where there is an unconditional one. */
export function conditioned(model: Model, condition: Condition, unconditional?: Condition, scale = 1): DiffusionModel {
  const { schedule, parameterization } = model;
  const network = (...given: Parameters<Model['predict']>) => model.predict(...given);
  return guidedModel({ network, schedule, parameterization, condition, unconditional, scale });
}

export interface ZooSteps {
  readonly latents: readonly Latent[];
  readonly denoised: readonly Latent[];
}

/** DDIM over uniform steps, with the recorded noise. */
export async function zooDdim(
  recorded: LineageCase,
  model: DiffusionModel,
  count: number,
  options: DdimOptions,
  start: Latent = recorded.input('x_T'),
): Promise<ZooSteps> {
  const timesteps = ddimTimesteps('uniform', count, model.schedule.trainTimesteps);
  let draws = 0;
  const steps: { readonly latent: Latent; readonly denoised: Latent }[] = [];
  for await (const step of sampleDdim(model, start, ddimSteps(model.schedule, timesteps), {
    drawUnused: true,
    noise: () => recorded.noise(draws++),
    ...options,
  }))
    steps.push(step);
  return { latents: steps.map(({ latent }) => latent), denoised: steps.map(({ denoised }) => denoised) };
}

/** The recorded steps `PREFIX.xN` and `PREFIX.pred_x0.N`. */
export function* zooSteps(recorded: LineageCase, prefix: string, steps: ZooSteps): Iterable<Comparison> {
  for (const [i, latent] of steps.latents.entries())
    if (recorded.outputs.has(`${prefix}.x${i}`)) yield recorded.compare(`${prefix}.x${i}`, latent);
  for (const [i, denoised] of steps.denoised.entries())
    if (recorded.outputs.has(`${prefix}.pred_x0.${i}`)) yield recorded.compare(`${prefix}.pred_x0.${i}`, denoised);
}

export interface LossInputs {
  readonly x0: Latent;
  readonly noise: Latent;
  readonly t: Tensor;
}

/** The recorded loss with its parts and gradients, of the whole model in training. */
export async function* zooLoss(
  recorded: LineageCase,
  config: LatentDiffusionConfig,
  weights: WeightSource,
  { x0, noise, t }: LossInputs,
  condition: Readonly<Record<string, Tensor>>,
  prefix = '',
  given?: Conditioning,
): AsyncIterable<Comparison> {
  const [batch = 1, , height = 1, width = 1] = x0.shape;
  const [, , mapHeight = height, mapWidth = width] = condition['map']?.shape ?? [];
  const conditioning = given ?? conditioningOf({ config, size: { height: mapHeight, width: mapWidth } });
  const loss = traceLatentDiffusionLoss({ config, conditioning, variants: {}, size: { batch, height, width } });
  const start = `${prefix}grad.`;
  const wanted = [...recorded.outputs.keys()].flatMap((name) =>
    name.startsWith(start) ? [name.slice(start.length)] : [],
  );
  const names = new Set(loss.parameters.map(({ name }) => name));
  const own = (name: string): string => (names.has(name) ? name : `model.diffusion_model.${name}`);
  const program = await compileGraph(gradients(loss, 'loss', wanted.map(own)), weights);
  const made = await program.run({ x0, noise, t, ...condition });
  for (const name of [...recorded.outputs.keys()].filter((output) => output.startsWith(prefix))) {
    const part = name.slice(prefix.length);
    if (part === 'loss' || part === 'val.loss') yield recorded.compare(name, made['loss']);
    else if (part.startsWith('val.')) yield recorded.compare(name, made[part.slice(4)]);
    else if (part.startsWith('grad.')) yield recorded.compare(name, made[`grad.${own(part.slice(5))}`]);
  }
  await program.dispose();
}
