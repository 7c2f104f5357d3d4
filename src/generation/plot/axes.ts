/** The axes of A1111's X/Y/Z plot, in its order, which clients count (scripts/xyz_grid.py `axis_options`, v1.10.1). */

import { StableDiffusionError } from '../../errors.ts';
import { pythonFloat } from '../../image/metadata/infotext.ts';
import type { AxisKind, AxisValue } from './axis-values.ts';

export interface Axis {
  readonly label: string;
  readonly kind: AxisKind;
  /** Only of this task. */
  readonly task?: 'txt2img' | 'img2img';
  /** Field of A1111's request, or with a dot before it an option; absent where this program has nothing of the kind. */
  readonly a1111?: string;
  /** Field of this program's request, with dots. */
  readonly request?: string;
  /** Legends show the value alone, without the label. */
  readonly isPlain?: boolean;
  /** A change takes long: the slowest axis is the outermost loop. */
  readonly cost?: number;
  /** A list of names: A1111's page sends it apart from the text. */
  readonly isChosen?: boolean;
}

const axis = (label: string, kind: AxisKind, fields: Omit<Axis, 'label' | 'kind'> = {}): Axis => ({
  label,
  kind,
  ...fields,
});
const [txt2img, img2img] = [{ task: 'txt2img' }, { task: 'img2img' }] as const;
const chosen = { isChosen: true } as const;
const plain = { isPlain: true } as const;

export const axes: readonly Axis[] = [
  axis('Nothing', 'text'),
  axis('Seed', 'whole', { a1111: 'seed', request: 'seed' }),
  axis('Var. seed', 'whole', { a1111: 'subseed', request: 'noiseSettings.subseed' }),
  axis('Var. strength', 'real', { a1111: 'subseed_strength', request: 'noiseSettings.subseedStrength' }),
  axis('Steps', 'whole', { a1111: 'steps', request: 'steps' }),
  axis('Hires steps', 'whole', { ...txt2img, a1111: 'hr_second_pass_steps' }),
  axis('CFG Scale', 'real', { a1111: 'cfg_scale', request: 'guidanceScale' }),
  axis('Image CFG Scale', 'real', { ...img2img, a1111: 'image_cfg_scale', request: 'imageGuidanceScale' }),
  axis('Prompt S/R', 'text', { ...plain, a1111: 'prompt', request: 'prompt' }),
  axis('Prompt order', 'order', { ...plain, a1111: 'prompt', request: 'prompt' }),
  axis('Sampler', 'text', { ...txt2img, ...plain, ...chosen, a1111: 'sampler_name', request: 'sampler' }),
  axis('Hires sampler', 'text', { ...txt2img, ...chosen, a1111: 'hr_sampler_name' }),
  axis('Sampler', 'text', { ...img2img, ...plain, ...chosen, a1111: 'sampler_name', request: 'sampler' }),
  axis('Checkpoint name', 'text', { ...plain, ...chosen, a1111: '.sd_model_checkpoint', cost: 1 }),
  axis('Negative Guidance minimum sigma', 'real'),
  axis('Sigma Churn', 'real', { a1111: 's_churn', request: 'samplerSettings.sChurn' }),
  axis('Sigma min', 'real', { a1111: 's_tmin', request: 'samplerSettings.sTmin' }),
  axis('Sigma max', 'real', { a1111: 's_tmax', request: 'samplerSettings.sTmax' }),
  axis('Sigma noise', 'real', { a1111: 's_noise', request: 'samplerSettings.sNoise' }),
  axis('Schedule type', 'text', { ...chosen, a1111: 'scheduler', request: 'schedule' }),
  axis('Schedule min sigma', 'real', { request: 'scheduleSettings.sigmaMin' }),
  axis('Schedule max sigma', 'real', { request: 'scheduleSettings.sigmaMax' }),
  axis('Schedule rho', 'real', { request: 'scheduleSettings.rho' }),
  axis('Beta schedule alpha', 'real'),
  axis('Beta schedule beta', 'real'),
  axis('Eta', 'real', { a1111: 'eta', request: 'eta' }),
  axis('Clip skip', 'whole', { a1111: '.CLIP_stop_at_last_layers', request: 'clipSkip' }),
  axis('Denoising', 'real', { a1111: 'denoising_strength', request: 'strength' }),
  axis('Initial noise multiplier', 'real'),
  axis('Extra noise', 'real'),
  axis('Hires upscaler', 'text', { ...txt2img, ...chosen, a1111: 'hr_upscaler' }),
  axis('Cond. Image Mask Weight', 'real', img2img),
  axis('VAE', 'text', { ...chosen, cost: 0.7 }),
  axis('Styles', 'text', { ...chosen, a1111: 'styles' }),
  axis('UniPC Order', 'whole', { cost: 0.5 }),
  axis('Face restore', 'text', plain),
  axis('Token merging ratio', 'real', { a1111: '.token_merging_ratio', request: 'tokenMerging' }),
  axis('Token merging ratio high-res', 'real'),
  axis('Always discard next-to-last sigma', 'text', chosen),
  axis('SGM noise multiplier', 'text', chosen),
  axis('Refiner checkpoint', 'text', { ...plain, ...chosen, a1111: 'refiner_checkpoint', cost: 1 }),
  axis('Refiner switch at', 'real', { a1111: 'refiner_switch_at', request: 'refinerSwitchAt' }),
  axis('RNG source', 'text', { ...chosen, a1111: '.randn_source' }),
  axis('FP8 mode', 'text', { ...chosen, cost: 0.9 }),
  axis('Size', 'text', { a1111: 'width', request: 'width' }),
];

/** The axes of a task, as A1111's page counts them. */
export const axesOf = (task: 'txt2img' | 'img2img'): readonly Axis[] =>
  axes.filter((one) => one.task === undefined || one.task === task);

/** A value in a legend. */
export function axisLegend({ label, kind, isPlain = false }: Axis, value: AxisValue): string {
  if (label === 'Nothing') return '';
  const text =
    typeof value === 'number'
      ? kind === 'real'
        ? pythonFloat(Number(value.toFixed(8)))
        : String(value)
      : typeof value === 'string'
        ? value
        : value.join(', ');
  return isPlain ? text : `${label}: ${text}`;
}

/** `512x768`. Throws `invalid-argument`. */
export function axisSize(value: AxisValue): { readonly width: number; readonly height: number } {
  const [, width, height] = /^(\d{1,5})\s*x\s*(\d{1,5})$/.exec(String(value)) ?? [];
  if (width === undefined || height === undefined)
    throw new StableDiffusionError('invalid-argument', `${JSON.stringify(value)} is not a size such as 512x768.`);
  return { width: Number(width), height: Number(height) };
}

export interface Prompts {
  readonly prompt: string;
  readonly negative: string;
}

/** "Prompt S/R": the first value is sought in the prompts, and each value takes its place. Throws `invalid-argument`. */
export function replacedPrompts({ prompt, negative }: Prompts, value: string, sought: string): Prompts {
  if (sought === '' || (!prompt.includes(sought) && !negative.includes(sought)))
    throw new StableDiffusionError(
      'invalid-argument',
      `Prompt S/R did not find ${JSON.stringify(sought)} in prompt or negative prompt.`,
    );
  return { prompt: prompt.replaceAll(sought, value), negative: negative.replaceAll(sought, value) };
}

/** "Prompt order": the words, wherever they stand in the prompt, in the order given. Throws `invalid-argument`. */
export function orderedPrompt(prompt: string, words: readonly string[]): string {
  const places = words.map((word) => ({ word, at: prompt.indexOf(word) }));
  const absent = places.find(({ at }) => at < 0);
  if (absent)
    throw new StableDiffusionError(
      'invalid-argument',
      `Prompt order did not find ${JSON.stringify(absent.word)} in the prompt.`,
    );
  let [made, rest] = ['', prompt];
  for (const [i, { word }] of places.sort((a, b) => a.at - b.at).entries()) {
    const at = rest.indexOf(word);
    if (at < 0)
      throw new StableDiffusionError('invalid-argument', `The words of Prompt order overlap: ${JSON.stringify(word)}.`);
    made += rest.slice(0, at) + (words[i] ?? '');
    rest = rest.slice(at + word.length);
  }
  return made + rest;
}
