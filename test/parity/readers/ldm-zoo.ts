/** Models of CompVis's zoo with a picture or a map as their condition: super-resolution, semantic maps, and the noisy classifier of latents. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ldmModel } from '../../../src/config/ldm-config.ts';
import { encoderUNetConfigSchema, ldmUNet, type VqConfig } from '../../../src/config/network-config.ts';
import { mapping } from '../../../src/config/validate.ts';
import { parseYaml } from '../../../src/config/yaml.ts';
import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { scheduleOf } from '../../../src/diffusion/model-schedule.ts';
import { noiseScheduleOf } from '../../../src/diffusion/noise-schedule.ts';
import { type DdimOptions, sampleDdim } from '../../../src/diffusion/samplers/ddim.ts';
import { ddimSteps, ddimTimesteps } from '../../../src/diffusion/timesteps.ts';
import type { Program } from '../../../src/engine/engine.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { tensorToImages } from '../../../src/image/image-tensor.ts';
import { traceVqDecode, traceVqEncode, traceVqQuantize } from '../../../src/models/autoencoder-vq.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { concatenate, scale } from '../../../src/tensor/arithmetic.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { accuracyAt, traceNoisyClassifierLoss } from '../../../src/training/objective/noisy-classifier.ts';
import { withoutPrefix } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments } from '../fitted.ts';
import { compileGraph, type LineageCase, timestepsOf } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

/** NHWC as NCHW. */
function channelsFirst({ shape, data }: Tensor): Latent {
  const [n = 0, h = 0, w = 0, c = 0] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    const [b, channel, at] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)];
    out[i] = Number(data[(b * h * w + at) * c + channel]);
  }
  return float32([n, c, h, w], out);
}

/** The networks of a case's model as functions. */
async function modelOf(recorded: LineageCase, weights: WeightSource) {
  const text = readFileSync(join(recorded.folder, 'config.yaml'), 'utf8');
  const config = ldmModel(mapping(mapping(parseYaml(text, 'config.yaml'), 'config')['model'], 'model'), 'model');
  const programs: Program[] = [];
  const compiled = async (...given: Parameters<typeof compileGraph>): Promise<Program> => {
    const program = await compileGraph(...given);
    programs.push(program);
    return program;
  };
  const unet = await compiled(traceUNet(ldmUNet(config.unet_config)), withoutPrefix(weights, 'model.diffusion_model.'));
  const stage = withoutPrefix(weights, 'first_stage_model.');
  const vq = config.first_stage_config as VqConfig;
  const run =
    (program: Program, input: string, output: string) =>
    async (value: Tensor): Promise<Latent> =>
      expectDType((await program.run({ [input]: value }))[output] as Tensor, 'float32');
  const encode = run(await compiled(traceVqEncode(vq), stage), 'image', 'prequant');
  const decode = async (quantize: boolean) => {
    const whole = run(await compiled(traceVqDecode(vq, { quantize }), stage), 'z', 'decoded');
    return (z: Latent): Promise<Latent> => whole(scale(z, 1 / config.scale_factor));
  };
  return {
    config,
    schedule: scheduleOf(config),
    encode: async (image: Latent): Promise<Latent> => scale(await encode(image), config.scale_factor),
    // There the latents are quantised as they are.
    quantize: run(await compiled(traceVqQuantize(vq), stage), 'z', 'quant'),
    decode: await decode(true),
    decodeAsItIs: await decode(false),
    model: (condition: Latent): DiffusionModel => ({
      schedule: scheduleOf(config),
      parameterization: config.parameterization,
      async predict(x, timestep) {
        const made = await unet.run({
          x: concatenate([x, condition], 1),
          timesteps: timestepsOf(new Array<number>(x.shape[0] ?? 1).fill(timestep)),
        });
        return expectDType(made['out'] as Tensor, 'float32');
      },
    }),
    async dispose() {
      for (const program of programs) await program.dispose();
    },
  };
}

async function ddim(recorded: LineageCase, model: DiffusionModel, count: number, options: DdimOptions) {
  const timesteps = ddimTimesteps('uniform', count, model.schedule.trainTimesteps);
  let draws = 0;
  const steps: { readonly latent: Latent; readonly denoised: Latent }[] = [];
  const noise = (): Latent => recorded.noise(draws++);
  for await (const step of sampleDdim(model, recorded.input('x_T'), ddimSteps(model.schedule, timesteps), {
    drawUnused: true,
    noise,
    ...options,
  }))
    steps.push(step);
  return steps;
}

const superResolution: Compare = async function* (recorded) {
  const own = await modelOf(recorded, recorded.weights());
  const condition = channelsFirst(recorded.tensor('LR_image'));
  yield recorded.compare('condition', condition);
  const z = await own.encode(channelsFirst(recorded.tensor('image')));
  yield recorded.compare('z', z);
  yield recorded.compare('reconstruction', await own.decode(z));
  const runs: Readonly<Record<string, DdimOptions>> = {
    eta1: { eta: 1 },
    eta0: { eta: 0 },
    eta1_quantized: { eta: 1, reviseX0: own.quantize },
    eta0_quantized: { eta: 0, reviseX0: own.quantize },
  };
  for (const [name, options] of Object.entries(runs)) {
    if (!recorded.outputs.has(`${name}.sample`)) continue;
    const steps = await ddim(recorded, own.model(condition), recorded.settings.steps, options);
    const sample = steps.at(-1)?.latent as Latent;
    yield recorded.compare(`${name}.sample`, sample);
    for (const [i, { latent, denoised }] of steps.entries())
      for (const [output, value] of [
        [`${name}.x${i}`, latent],
        [`${name}.pred_x0.${i}`, denoised],
      ] as const)
        if (recorded.outputs.has(output)) yield recorded.compare(output, value);
    if (!recorded.outputs.has(`${name}.picture`)) continue;
    const picture = await own.decode(sample);
    yield recorded.compare(`${name}.picture`, picture);
    yield recorded.compare(`${name}.picture_not_quantized`, await own.decodeAsItIs(sample));
    if (recorded.outputs.has(`${name}.bytes`)) yield recorded.compare(`${name}.bytes`, bytesOf(picture));
  }
  if (recorded.outputs.has('temperature.sample')) yield await temperatureRun(recorded, own.model(condition));
  await own.dispose();
};

/** Bytes [n, c, h, w] as scripts/txt2img.py truncates them. */
function bytesOf(picture: Latent): Tensor {
  const [n = 0, c = 0, h = 0, w = 0] = picture.shape;
  const plane = h * w;
  const images = tensorToImages(picture, 'compvis');
  const data = new Uint8Array(n * c * plane);
  for (const [b, image] of images.entries())
    for (let k = 0; k < c; k++)
      for (let i = 0; i < plane; i++) data[(b * c + k) * plane + i] = image.data[i * c + k] as number;
  return { dtype: 'uint8', shape: picture.shape, data };
}

/** The index need not state the temperature. */
async function temperatureRun(recorded: LineageCase, model: DiffusionModel): Promise<Comparison> {
  const made = async (temperature?: number): Promise<Latent> => {
    const steps = await ddim(recorded, model, recorded.settings.steps, { eta: 1, temperature });
    return steps.at(-1)?.latent as Latent;
  };
  const name = 'temperature.sample';
  const start = [recorded.settings.temperature ?? 0.6];
  const [temperature] = await fittedArguments(start, ([one]) => made(one), pick(recorded.outputs, name));
  return recorded.compare(name, await made(temperature));
}

const classifier: Compare = async function* (recorded) {
  const { T, linear_start: linearStart, linear_end: linearEnd, optimiser: _, ...network } = recorded.settings;
  const schedule = noiseScheduleOf({ timesteps: T, linearStart, linearEnd });
  const latents = recorded.input('latents');
  const config = encoderUNetConfigSchema.parse({ ...network, kind: 'encoder_unet' });
  const batch = latents.shape[0] ?? 1;
  const names = [...recorded.outputs.keys()].flatMap((name) => /^t\d+\.grad\.(.*)$/.exec(name)?.[1] ?? []);
  const graph = gradients(traceNoisyClassifierLoss(config, schedule, batch), 'loss', [...new Set(names)]);
  const program = await compileGraph(graph, recorded.weights());
  const labels = Array.from(recorded.tensor('class_label').data, Number);
  for (const group of new Set([...recorded.outputs.keys()].map((name) => name.split('.')[0] as string))) {
    const t = Number(group.slice(1));
    const made = await program.run({
      x: latents,
      noise: recorded.input('noise'),
      t: { dtype: 'int64', shape: [batch], data: new BigInt64Array(batch).fill(BigInt(t)) },
      y: { dtype: 'int64', shape: [batch], data: BigInt64Array.from(labels, BigInt) },
    });
    const logits = pick(new Map(Object.entries(made)), 'logits');
    for (const name of recorded.outputs.keys()) {
      const part = name.startsWith(`${group}.`) ? name.slice(group.length + 1) : undefined;
      if (part === undefined) continue;
      const k = /^acc@(\d+)$/.exec(part)?.[1];
      if (k) {
        const hits = accuracyAt(logits, labels, Number(k));
        yield recorded.compare(name, float32([], [hits.filter(Boolean).length / batch]));
      } else if (part === 'in_top5') {
        const want = pick(recorded.outputs, name);
        const hits = accuracyAt(logits, labels, 5).map(Number);
        yield recorded.compare(
          name,
          want.dtype === 'int64'
            ? { dtype: 'int64', shape: [batch], data: BigInt64Array.from(hits, BigInt) }
            : ({ ...want, data: Uint8Array.from(hits) } as Tensor),
        );
      } else yield recorded.compare(name, part === 'x_noisy' ? made['noisy'] : made[part]);
    }
  }
  await program.dispose();
};

export const reader = lineageReader([
  [/^the whole of the super-resolution model/, superResolution],
  [/^NoisyLatentImageClassifier/, classifier],
]);
