/** A record as the text that A1111 writes under a picture, with A1111's names, so that its users and sites such as Civitai can read it. */

import { demand, fieldsOf } from '../arguments.ts';
import { namedSampling, type SamplerPeer, samplerPeerOf } from '../diffusion/sampler-names.ts';
import { a1111SamplerLabel, schedulerLabelOf } from '../diffusion/sampler-labels.ts';
import { a1111Infotext } from '../image/metadata/a1111-settings.ts';
import { pythonFloat } from '../image/metadata/infotext.ts';
import type { NoiseConvention } from '../random/noise-source.ts';
import { modelName } from './model-name.ts';
import type { Outpaint } from './picture-fields.ts';
import { type GenerationRecord, promptOf } from './record.ts';
import { defaultRefinerSwitch } from './second-model.ts';

/** A1111's source of random numbers. Other programs draw their start noise from PyTorch's CPU generator. */
const rngOf = (noise: NoiseConvention): string => (noise === 'a1111-gpu' ? 'GPU' : noise === 'a1111-nv' ? 'NV' : 'CPU');

/** A1111's labels of a sampler and its schedule; a sampler that A1111 lacks keeps its own name. */
function samplingLabels(
  name: string,
  schedule: string | undefined,
  peer: SamplerPeer | undefined,
): { readonly sampler: string; readonly scheduler: string | undefined } {
  try {
    const { sampler, schedule: resolved = sampler.schedule } = namedSampling(name, { peer, schedule });
    const label = a1111SamplerLabel(sampler.name);
    if (label === undefined) return { sampler: name, scheduler: schedule };
    return { sampler: label, scheduler: sampler.space === 'timestep' ? undefined : schedulerLabelOf(resolved) };
  } catch {
    return { sampler: name, scheduler: schedule };
  }
}

/** LoRAs as A1111's users write them in prompts. */
function loraTags(adapters: readonly string[] = []): string {
  return adapters
    .filter((adapter) => adapter.startsWith('lora:'))
    .map((adapter) => ` <${adapter}>`)
    .join('');
}

/** Outpainting, which A1111's scripts do not write down. */
export function outpaintLines({ left, right, up, down, method }: Outpaint): Record<string, string> {
  const sides = Object.entries({ left, right, up, down }).filter(([, pixels]) => pixels > 0);
  return {
    Outpainting: method === 'mk2' ? 'mk2' : "poor man's",
    'Outpainting pixels': sides.map(([side, pixels]) => `${side} ${pixels}`).join(' '),
  };
}

/** The settings text of a record's picture. */
export function recordInfotext(record: GenerationRecord): string {
  const { prompt, sampler: name } = fieldsOf(record, 'The record', 'that of a picture');
  demand(prompt !== undefined && typeof name === 'string', 'The record', 'that of a picture', record);
  const { index, seeds, noise, noiseSettings = {}, batchSize = 1, promptSettings } = record;
  const { sampler, scheduler } = samplingLabels(record.sampler, record.schedule, samplerPeerOf(noise));
  return a1111Infotext({
    prompt: promptOf(record) + loraTags(record.adapters),
    negativePrompt: promptOf({ prompt: record.negativePrompt, index }),
    steps: record.steps,
    sampler,
    scheduler,
    cfgScale: record.guidanceScale,
    imageCfgScale:
      record.task === 'img2img' && record.imageGuidanceScale !== 1.5 ? record.imageGuidanceScale : undefined,
    seed: seeds?.[index] ?? record.seed,
    width: record.width,
    height: record.height,
    modelHash: record.modelHash?.slice(0, 10) ?? null,
    model: modelName(record.model),
    variationSeed: noiseSettings.subseed,
    variationStrength: noiseSettings.subseedStrength,
    seedResizeFrom: noiseSettings.seedResizeFrom,
    clipSkip: record.clipSkip,
    ensd: noiseSettings.etaNoiseSeedDelta,
    rng: rngOf(noise),
    extra: {
      ...(record.task === 'txt2img' ? {} : { 'Denoising strength': pythonFloat(record.strength) }),
      ...('outpaint' in record && record.outpaint ? outpaintLines(record.outpaint) : {}),
      ...('initialNoise' in record && record.initialNoise !== undefined
        ? { 'Noise multiplier': pythonFloat(record.initialNoise) }
        : {}),
      ...('colorCorrection' in record && record.colorCorrection ? { 'Color correction': true } : {}),
      ...(record.eta === undefined
        ? {}
        : { [/^(DDIM|PLMS|UniPC)$/.test(sampler) ? 'Eta DDIM' : 'Eta']: pythonFloat(record.eta) }),
      ...(record.refiner === undefined
        ? {}
        : {
            Refiner: modelName(record.refiner),
            'Refiner switch at': pythonFloat(record.refinerSwitchAt ?? defaultRefinerSwitch),
          }),
      ...(record.enlarge === undefined
        ? {}
        : { Enlarged: record.enlarge.map(({ model }) => modelName(model)).join(' ') }),
      ...(record.seamless === undefined ? {} : { Tiling: record.seamless === 'both' ? 'True' : record.seamless }),
      ...(record.tokenMerging === undefined ? {} : { 'Token merging ratio': pythonFloat(record.tokenMerging) }),
      ...(promptSettings?.emphasis === undefined ? {} : { Emphasis: promptSettings.emphasis }),
      ...(batchSize === 1 ? {} : { 'Batch size': batchSize, 'Batch pos': index }),
    },
    version: record.program,
  });
}
