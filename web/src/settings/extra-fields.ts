/**
 * Settings that a request holds and most pictures do without: a table. A row names the setting's path in a job of the jobs API, which is its
 * path in the library's request too where `place` does not say otherwise, its control, and its name in A1111's text and API.
 */

import type { Task } from '../../../src/generation/request.ts';

export type ExtraValue = string | number | boolean;
/** Values by path, and the switches that are on, by the group's name. What stands at its default is left out. */
export type Extra = Readonly<Record<string, ExtraValue>>;

type Control =
  | { readonly kind: 'slider'; readonly min: number; readonly max: number; readonly step: number }
  | { readonly kind: 'choice'; readonly options: readonly (readonly [value: string, label: string])[] }
  | { readonly kind: 'seed' };

export interface ExtraField {
  readonly path: string;
  readonly label: string;
  readonly hint?: string;
  readonly control: Control;
  readonly initial: ExtraValue;
  /** Its name in A1111's text under a picture. */
  readonly infotext?: string;
  /** Its field in A1111's API, and the value there. */
  readonly a1111?: readonly [field: string, value?: (value: ExtraValue) => unknown];
}

export interface ExtraGroup {
  readonly name: string;
  readonly section: 'inpaint' | 'variation' | 'hires' | 'more';
  /** Default: every task. */
  readonly tasks?: readonly Task[];
  /** Only this program's server has it. */
  readonly onServer?: true;
  /** The label of the switch that turns the group on. Without one, the first field does where it is not at its default. */
  readonly toggle?: string;
  /** The group is always on. */
  readonly always?: true;
  /** What A1111's text says for a group that is on, where the first field alone does not tell. */
  readonly told?: readonly [label: string, value: string];
  /** What A1111's API takes for a group that is on. */
  readonly a1111?: Readonly<Record<string, unknown>>;
  readonly fields: readonly [ExtraField, ...ExtraField[]];
}

const slider = (min: number, max: number, step: number): Control => ({ kind: 'slider', min, max, step });
const factor = (path: string, label: string, initial: number): ExtraField => ({
  path,
  label,
  control: slider(0, 2, 0.05),
  initial,
});
const fills = ['fill', 'original', 'latent noise', 'latent nothing'] as const;
/** A1111's filters of hires. fix that every server has. */
const filters = [
  ['lanczos', 'Lanczos'],
  ['nearest', 'Nearest'],
  ['bicubic', 'Bicubic'],
  ['bilinear', 'Bilinear'],
] as const;

export const extraGroups: readonly ExtraGroup[] = [
  {
    name: 'mask',
    section: 'inpaint',
    tasks: ['inpaint'],
    always: true,
    fields: [
      {
        path: 'inpaint.fill',
        label: 'The painted part begins from',
        control: {
          kind: 'choice',
          options: [
            ['original', 'The picture'],
            ['fill', 'Colours around it'],
            ['latent noise', 'Noise'],
            ['latent nothing', 'Nothing'],
          ],
        },
        initial: 'original',
        infotext: 'Masked content',
        a1111: ['inpainting_fill', (value) => fills.indexOf(value as (typeof fills)[number])],
      },
      {
        path: 'inpaint.blur',
        label: 'Soft edge',
        hint: 'Pixels over which old and new meet.',
        control: slider(0, 64, 1),
        initial: 4,
        infotext: 'Mask blur',
        a1111: ['mask_blur'],
      },
    ],
  },
  {
    name: 'onlyMasked',
    section: 'inpaint',
    tasks: ['inpaint'],
    toggle: 'Only the painted part, at full size',
    told: ['Inpaint area', 'Only masked'],
    a1111: { inpaint_full_res: true },
    fields: [
      {
        path: 'inpaint.onlyMaskedPadding',
        label: 'Padding',
        hint: 'Pixels around the painted part that the model also sees.',
        control: slider(0, 256, 4),
        initial: 32,
        infotext: 'Masked area padding',
        a1111: ['inpaint_full_res_padding'],
      },
    ],
  },
  {
    name: 'variation',
    section: 'variation',
    fields: [
      {
        path: 'noiseSettings.subseedStrength',
        label: 'Variation',
        hint: 'How far the picture goes from the one of its seed.',
        control: slider(0, 1, 0.05),
        initial: 0,
        infotext: 'Variation seed strength',
        a1111: ['subseed_strength'],
      },
      {
        path: 'noiseSettings.subseed',
        label: 'Variation seed',
        control: { kind: 'seed' },
        initial: -1,
        infotext: 'Variation seed',
        a1111: ['subseed'],
      },
    ],
  },
  {
    name: 'hires',
    section: 'hires',
    tasks: ['txt2img'],
    onServer: true,
    a1111: { enable_hr: true },
    fields: [
      {
        path: 'hires.scale',
        label: 'Enlarge, then refine',
        hint: 'A second pass at a larger size (hires. fix).',
        control: slider(1, 4, 0.25),
        initial: 1,
        infotext: 'Hires upscale',
        a1111: ['hr_scale'],
      },
      {
        path: 'hires.strength',
        label: 'Strength of the second pass',
        control: slider(0, 1, 0.05),
        initial: 0.5,
        infotext: 'Denoising strength',
        a1111: ['denoising_strength'],
      },
      {
        path: 'hires.steps',
        label: 'Its steps',
        hint: '0: as many as the first.',
        control: slider(0, 150, 1),
        initial: 0,
        infotext: 'Hires steps',
        a1111: ['hr_second_pass_steps'],
      },
      {
        path: 'hires.upscaler',
        label: 'Enlarged by',
        control: { kind: 'choice', options: filters },
        initial: 'lanczos',
        infotext: 'Hires upscaler',
        a1111: ['hr_upscaler', (value) => filters.find(([name]) => name === value)?.[1] ?? 'Lanczos'],
      },
    ],
  },
  {
    name: 'clipSkip',
    section: 'more',
    fields: [
      {
        path: 'clipSkip',
        label: 'Clip skip',
        hint: 'The layer of the text encoder, counted from the last.',
        control: slider(1, 12, 1),
        initial: 1,
        infotext: 'Clip skip',
        a1111: ['override_settings.CLIP_stop_at_last_layers'],
      },
    ],
  },
  {
    name: 'guidanceRescale',
    section: 'more',
    fields: [
      {
        path: 'guidanceRescale',
        label: 'Guidance rescale',
        hint: 'Takes back contrast that strong guidance adds.',
        control: slider(0, 1, 0.05),
        initial: 0,
      },
    ],
  },
  {
    name: 'seamless',
    section: 'more',
    fields: [
      {
        path: 'seamless',
        label: 'Seamless',
        control: {
          kind: 'choice',
          options: [
            ['', 'No'],
            ['both', 'On all sides'],
            ['x', 'Left and right'],
            ['y', 'Top and bottom'],
          ],
        },
        initial: '',
        infotext: 'Tiling',
        a1111: ['tiling', (value) => value !== ''],
      },
    ],
  },
  {
    name: 'tokenMerging',
    section: 'more',
    fields: [
      {
        path: 'tokenMerging',
        label: 'Token merging',
        hint: 'Faster at large sizes, less exact.',
        control: slider(0, 0.9, 0.05),
        initial: 0,
        infotext: 'Token merging ratio',
        a1111: ['override_settings.token_merging_ratio'],
      },
    ],
  },
  {
    name: 'deepCache',
    section: 'more',
    fields: [
      {
        path: 'deepCache.interval',
        label: 'DeepCache',
        hint: 'Whole steps come every so many; 1: all are whole.',
        control: slider(1, 10, 1),
        initial: 1,
      },
    ],
  },
  {
    name: 'freeU',
    section: 'more',
    toggle: 'FreeU',
    fields: [
      factor('freeU.b1', 'Backbone 1', 1.5),
      factor('freeU.b2', 'Backbone 2', 1.6),
      factor('freeU.s1', 'Skip 1', 0.9),
      factor('freeU.s2', 'Skip 2', 0.2),
    ],
  },
  {
    name: 'selfAttentionGuidance',
    section: 'more',
    fields: [
      {
        path: 'selfAttentionGuidance',
        label: 'Self-attention guidance',
        hint: 'Usually 0.75. One more pass a step.',
        control: slider(0, 2, 0.05),
        initial: 0,
      },
    ],
  },
  {
    name: 'perturbedAttention',
    section: 'more',
    fields: [
      {
        path: 'perturbedAttention.scale',
        label: 'Perturbed-attention guidance',
        hint: 'Usually 3. One more pass a step.',
        control: slider(0, 10, 0.5),
        initial: 0,
      },
    ],
  },
];
