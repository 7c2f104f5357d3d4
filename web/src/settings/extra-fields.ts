/**
 * Settings that a request holds and most pictures do without: a table. A row names the setting's path in a job of the jobs API, which is its
 * path in the library's request too where `place` does not say otherwise, its control, and its name in A1111's text and API.
 */

import { added, type ExtraField, type ExtraGroup, slider } from './extra-field.ts';
import { speedAndGuidance } from './extra-speed-and-guidance.ts';

export type { ExtraField, ExtraGroup };
export { addedStep, type Extra, type ExtraValue, mostAdded } from './extra-field.ts';

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
    name: 'dynamicPrompts',
    section: 'prompt',
    fields: [
      {
        path: 'dynamicPrompts',
        label: 'Dynamic prompts',
        hint: 'Each picture draws its own: a {red|blue} apple.',
        control: { kind: 'switch' },
        initial: false,
      },
    ],
  },
  {
    name: 'outpaint',
    section: 'outpaint',
    tasks: ['img2img'],
    any: true,
    fields: [
      added('outpaint.left', 'Extend left'),
      added('outpaint.right', 'Extend right'),
      added('outpaint.up', 'Extend up'),
      added('outpaint.down', 'Extend down'),
    ],
  },
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
  ...speedAndGuidance,
];
