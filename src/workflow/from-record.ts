/**
 * workflowFromRecord: the settings of a picture as a workflow in ComfyUI's API format: checkpoint, LoRAs, prompts, sampler, first stage. It
 * names what a workflow cannot hold, and noise of another convention, which gives another picture.
 */

import { comfySamplerName, namedSampling, samplerPeerOf } from '../diffusion/sampler-names.ts';
import { orderedObject, printExactJson } from '../formats/exact-json.ts';
import type { GenerationRecord } from '../generation/record.ts';
import { schedulerNames } from './sampling/names.ts';

/** A node of the graph that is written. */
interface WrittenNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly _meta: { readonly title: string };
}

export interface WrittenWorkflow {
  /** JSON of the graph. */
  readonly text: string;
  /** Settings that the workflow does not have, or has differently. */
  readonly notes: readonly string[];
}

type Link = readonly [node: string, output: number];

const schedules = new Set<string>(schedulerNames);

class Writer {
  readonly nodes: [string, WrittenNode][] = [];
  readonly notes: string[] = [];

  add(id: string, type: string, title: string, inputs: Readonly<Record<string, unknown>>): void {
    this.nodes.push([id, { class_type: type, inputs, _meta: { title } }]);
  }
}

const fileName = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;

/** Text of the picture's place in its batch. */
const textOf = (value: string | readonly string[] | undefined, index: number): string =>
  typeof value === 'string' ? value : (value?.[index % Math.max(1, value.length)] ?? '');

/** Model and text encoder behind the LoRAs: `lora:FILE:X:Y` in the record. */
function addLoras(writer: Writer, { adapters = [] }: GenerationRecord): { model: Link; clip: Link } {
  let [model, clip]: [Link, Link] = [
    ['4', 0],
    ['4', 1],
  ];
  for (const [i, text] of adapters.entries()) {
    const [, name, scale = '1', textScale = scale] = /^lora:(.*?)(?::(-?[\d.]+))?(?::(-?[\d.]+))?$/.exec(text) ?? [];
    if (name === undefined) {
      if (!text.startsWith('embedding:')) writer.notes.push(`${text} is left out`);
      continue;
    }
    const id = String(20 + i);
    const strengths = { strength_model: Number(scale), strength_clip: Number(textScale) };
    writer.add(id, 'LoraLoader', 'Load LoRA', { lora_name: fileName(name), ...strengths, model, clip });
    [model, clip] = [
      [id, 0],
      [id, 1],
    ];
  }
  return { model, clip };
}

/** ComfyUI's names of the sampler and its schedule. */
function samplingOf(writer: Writer, record: GenerationRecord): { sampler_name: string; scheduler: string } {
  const named = namedSampling(record.sampler, { peer: samplerPeerOf(record.noise), schedule: record.schedule });
  const sampler = comfySamplerName(named.sampler.name);
  if (sampler === undefined)
    writer.notes.push(`the sampler ${record.sampler} has no node in ComfyUI; euler is written in its place`);
  const schedule = named.schedule ?? 'normal';
  const scheduler = schedules.has(schedule) ? schedule : 'normal';
  if (scheduler !== schedule)
    writer.notes.push(`the schedule ${schedule} is not ComfyUI's; normal is written in its place`);
  return { sampler_name: sampler ?? 'euler', scheduler };
}

/** The latent that the sampler starts from. */
function addStart(writer: Writer, record: GenerationRecord): { readonly latent: Link; readonly denoise: number } {
  const { task, width, height, batchSize = 1 } = record;
  if (task === 'txt2img') {
    writer.add('5', 'EmptyLatentImage', 'Empty Latent Image', { width, height, batch_size: batchSize });
    return { latent: ['5', 0], denoise: 1 };
  }
  writer.add('10', 'LoadImage', 'Load Image', { image: 'image.png' });
  writer.add('5', 'VAEEncode', 'VAE Encode', { pixels: ['10', 0], vae: ['4', 2] });
  writer.notes.push('the initial picture is not in the record: put it into the folder input as image.png');
  const denoise = record.strength ?? 1;
  if (task === 'img2img') return { latent: ['5', 0], denoise };
  writer.add('11', 'LoadImageMask', 'Load Image (as Mask)', { image: 'mask.png', channel: 'red' });
  writer.add('12', 'SetLatentNoiseMask', 'Set Latent Noise Mask', { samples: ['5', 0], mask: ['11', 0] });
  writer.notes.push('the mask is not in the record: put it into the folder input as mask.png');
  return { latent: ['12', 0], denoise };
}

/** Fields that change the picture and that no node of this graph has. */
const unsaid = [
  'samplerSettings',
  'eta',
  'guidanceRescale',
  'imageGuidanceScale',
  'noiseSettings',
  'quantizeDenoised',
  'classLabels',
  'refiner',
  'classifier',
] as const;

/** The workflow of a record. Throws `invalid-argument` for a sampler that is not known. */
export function workflowFromRecord(record: GenerationRecord): WrittenWorkflow {
  const writer = new Writer();
  const { index = 0, clipSkip = 1, seed, steps, guidanceScale } = record;
  writer.add('4', 'CheckpointLoaderSimple', 'Load Checkpoint', { ckpt_name: fileName(record.model) });
  const { model, clip: encoder } = addLoras(writer, record);
  const clip: Link = clipSkip > 1 ? ['13', 0] : encoder;
  if (clipSkip > 1)
    writer.add('13', 'CLIPSetLastLayer', 'CLIP Set Last Layer', { stop_at_clip_layer: -clipSkip, clip: encoder });
  writer.add('6', 'CLIPTextEncode', 'Prompt', { text: textOf(record.prompt, index), clip });
  writer.add('7', 'CLIPTextEncode', 'Negative Prompt', { text: textOf(record.negativePrompt, index), clip });
  const { latent, denoise } = addStart(writer, record);
  const given = Array.isArray(record.seeds) ? record.seeds[index] : undefined;
  const sampling = {
    seed: BigInt(given ?? seed ?? 0),
    steps,
    cfg: guidanceScale,
    ...samplingOf(writer, record),
    denoise,
  };
  writer.add('3', 'KSampler', 'KSampler', {
    ...sampling,
    model,
    positive: ['6', 0],
    negative: ['7', 0],
    latent_image: latent,
  });
  writer.add('8', 'VAEDecode', 'VAE Decode', { samples: ['3', 0], vae: ['4', 2] });
  writer.add('9', 'SaveImage', 'Save Image', { filename_prefix: 'ComfyUI', images: ['8', 0] });
  if (record.noise !== 'comfy')
    writer.notes.push(`the noise was drawn as ${record.noise} draws it; ComfyUI draws other noise from the same seed`);
  if (record.promptSyntax === 'a1111')
    writer.notes.push("the prompt is in A1111's syntax: ComfyUI reads its weights differently, and no schedules");
  for (const field of unsaid)
    if ((record as Readonly<Record<string, unknown>>)[field]) writer.notes.push(`${field} is left out`);
  const graph = orderedObject([...writer.nodes].sort(([a], [b]) => Number(a) - Number(b)));
  return { text: printExactJson(graph), notes: writer.notes };
}
