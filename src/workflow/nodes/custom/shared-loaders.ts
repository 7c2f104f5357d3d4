/** Loaders of ComfyUI-Advanced-ControlNet and rgthree-comfy that appear in shared workflows, over ComfyUI's own. */

import { StableDiffusionError } from '../../../errors.ts';
import { controlNetOf } from '../../control-net.ts';
import { defineNode, type NodeType } from '../../definition.ts';
import { loraApplied } from '../../lora.ts';
import { channelsFirst } from '../../pictures.ts';
import { withControl } from '../../values/conditioning.ts';

const advanced = { category: '', module: 'custom_nodes.ComfyUI-Advanced-ControlNet' } as const;
const deprecated = { deprecated: true, experimental: false, api_node: false } as const;

/** Throws `invalid-argument` for inputs that only other nodes of the pack make, and for masks. */
function refuseInputs(node: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given))
    if (value !== undefined && value !== null)
      throw new StableDiffusionError('invalid-argument', `${node}: the input ${name} is not supported. Leave it out.`);
}

const controlNetLoaderAdvancedNode = defineNode({
  ...advanced,
  name: 'ControlNetLoaderAdvanced',
  displayName: 'Load Advanced ControlNet Model',
  required: { control_net_name: [{ folder: 'controlnet' }] },
  optional: { tk_optional: ['TIMESTEP_KEYFRAME', {}] },
  outputs: ['CONTROL_NET'],
  flags: deprecated,
  async run({ control_net_name, tk_optional }, { files }) {
    refuseInputs('ControlNetLoaderAdvanced', { tk_optional });
    return [await controlNetOf(await files.weights('controlnet', control_net_name))];
  },
});

const advancedControlNetApplyNode = defineNode({
  ...advanced,
  name: 'ACN_AdvancedControlNetApply',
  displayName: 'Apply Advanced ControlNet',
  required: {
    positive: ['CONDITIONING', {}],
    negative: ['CONDITIONING', {}],
    control_net: ['CONTROL_NET', {}],
    image: ['IMAGE', {}],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
  },
  optional: {
    mask_optional: ['MASK', {}],
    timestep_kf: ['TIMESTEP_KEYFRAME', {}],
    latent_kf_override: ['LATENT_KEYFRAME', {}],
    weights_override: ['CONTROL_NET_WEIGHTS', {}],
    model_optional: ['MODEL', {}],
    vae_optional: ['VAE', {}],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
    { type: 'MODEL', name: 'model_opt' },
  ],
  flags: deprecated,
  run({ positive, negative, control_net, image, strength, start_percent, end_percent, model_optional, ...others }) {
    const { mask_optional, timestep_kf, latent_kf_override, weights_override } = others;
    refuseInputs('ACN_AdvancedControlNetApply', {
      mask_optional,
      timestep_kf,
      latent_kf_override,
      weights_override,
    });
    if (strength === 0) return [positive, negative, model_optional];
    const window = { startPercent: start_percent, endPercent: end_percent };
    const applied = { ...control_net, hint: channelsFirst(image), strength, ...window };
    return [withControl(positive, applied, false), withControl(negative, applied, false), model_optional];
  },
});

const lora = [{ folder: 'loras', first: ['None'] }] as const;
const strength = ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }] as const;
const rgthree = { category: 'rgthree', module: 'custom_nodes.rgthree-comfy' } as const;

const loraLoaderStackNode = defineNode({
  ...rgthree,
  name: 'Lora Loader Stack (rgthree)',
  displayName: 'Lora Loader Stack (rgthree)',
  required: {
    model: ['MODEL'],
    clip: ['CLIP'],
    lora_01: lora,
    strength_01: strength,
    lora_02: lora,
    strength_02: strength,
    lora_03: lora,
    strength_03: strength,
    lora_04: lora,
    strength_04: strength,
  },
  outputs: ['MODEL', 'CLIP'],
  async run({ model, clip, ...given }, context) {
    const stack = [
      [given.lora_01, given.strength_01],
      [given.lora_02, given.strength_02],
      [given.lora_03, given.strength_03],
      [given.lora_04, given.strength_04],
    ] as const;
    let [changed, text] = [model, clip];
    for (const [name, by] of stack) {
      if (name === 'None' || by === 0) continue;
      const options = { model: changed, clip: text, name, strength: by, clipStrength: by };
      const [first, second] = await loraApplied(options, context);
      [changed, text] = [first, second ?? text];
    }
    return [changed, text];
  },
});

const rgthreeSeedNode = defineNode({
  ...rgthree,
  name: 'Seed (rgthree)',
  displayName: 'Seed (rgthree)',
  required: { seed: ['INT', { default: 0, min: -1125899906842624, max: 1125899906842624 }] },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO', unique_id: 'UNIQUE_ID' },
  outputs: [{ type: 'INT', name: 'SEED' }],
  // -1, -2 and -3 ask for another seed each time, which the page usually has chosen before.
  isChanged: ({ seed }) => (Number(seed) < 0 && Number(seed) >= -3 ? Number.NaN : seed),
  run: ({ seed }) => [seed < 0 && seed >= -3 ? 1 + Math.floor(Math.random() * 1125899906842624) : seed],
});

export const sharedLoaderNodes: readonly NodeType[] = [
  controlNetLoaderAdvancedNode,
  advancedControlNetApplyNode,
  loraLoaderStackNode,
  rgthreeSeedNode,
];
