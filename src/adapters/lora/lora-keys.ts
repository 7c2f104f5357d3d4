/**
 * Names of tensors in LoRA files: the network and module of a key, and the role of its tensor.
 *
 * Known are the layouts of kohya's sd-scripts (`lora_unet_down_blocks_0_….lora_down.weight`), LyCORIS (`.hada_w1_a`, `.lokr_w1`, `.oft_blocks`),
 * PEFT (`unet.….lora_A.weight`, `base_model.model.….lora_A.default.weight`), diffusers before PEFT (`….lora.down.weight`,
 * `….processor.to_q_lora.down.weight`) and ComfyUI (`diffusion_model.….lora_down.weight`).
 */

import { partPrefixes } from '../../weights/part-prefixes.ts';

/** `text_2` is the second text encoder of SDXL. */
export type LoraNetwork = 'unet' | 'text' | 'text_2';

export const loraRoles = [
  'down',
  'up',
  'mid',
  'alpha',
  'hada_w1_a',
  'hada_w1_b',
  'hada_w2_a',
  'hada_w2_b',
  'hada_t1',
  'hada_t2',
  'lokr_w1',
  'lokr_w1_a',
  'lokr_w1_b',
  'lokr_w2',
  'lokr_w2_a',
  'lokr_w2_b',
  'lokr_t2',
  'diff',
  'diff_b',
  'w_norm',
  'b_norm',
  'dora_scale',
  'magnitude',
  'a1',
  'a2',
  'b1',
  'b2',
  'oft_blocks',
  'oft_diag',
  'rescale',
  'weight',
  'on_input',
] as const;
/** The role of a tensor in its module. */
export type LoraRole = (typeof loraRoles)[number];

export interface LoraKey {
  /** Undefined if the key does not tell. */
  readonly network: LoraNetwork | undefined;
  /** The module's name in the layout of the file, with `_` for every `.`. */
  readonly module: string;
  readonly role: LoraRole;
}

/** In order; the first that begins a key counts. */
const prefixes: readonly (readonly [prefix: string, network: LoraNetwork | undefined])[] = [
  ['lora_unet_', 'unet'],
  ['lora_te_', 'text'],
  ['lora_te1_', 'text'],
  ['lora_te2_', 'text_2'],
  ['lycoris_', undefined],
  ['base_model.model.unet.', 'unet'],
  ['base_model.model.text_encoder.', 'text'],
  ['base_model.model.text_encoder_2.', 'text_2'],
  ['base_model.model.', undefined],
  ['unet.', 'unet'],
  ['text_encoder.', 'text'],
  ['text_encoder_2.', 'text_2'],
  ['text_encoders.clip_l.transformer.', 'text'],
  ['text_encoders.clip_g.transformer.', 'text_2'],
  ['text_encoders.clip_h.transformer.', 'text'],
  [partPrefixes.unet, 'unet'],
  ['diffusion_model.', 'unet'],
  [partPrefixes.cond_stage, 'text'],
  ['', undefined],
];

const direction: Readonly<Record<string, LoraRole>> = {
  lora_down: 'down',
  lora_up: 'up',
  lora_mid: 'mid',
  lora_A: 'down',
  lora_B: 'up',
  down: 'down',
  up: 'up',
};

/** Patterns of module and tensor names; the first match wins. */
const endings: readonly {
  readonly pattern: RegExp;
  readonly read: (match: RegExpExecArray) => readonly [module: string, role: string | undefined];
}[] = [
  {
    pattern: /^(.+)\.(lora_down|lora_up|lora_mid)\.weight$/,
    read: ([, module = '', name = '']) => [module, direction[name]],
  },
  {
    pattern: /^(.+)\.([ab][12])\.weight$/,
    read: ([, module = '', name = '']) => [module, name],
  },
  {
    pattern: /^(.+)\.lora_magnitude_vector(?:\.[^.]+)?(?:\.weight)?$/,
    read: ([, module = '']) => [module, 'magnitude'],
  },
  {
    pattern: /^(.+)\.(lora_A|lora_B)(?:\.[^.]+)?\.weight$/,
    read: ([, module = '', name = '']) => [module, direction[name]],
  },
  {
    pattern: /^(.+?)\.(?:processor\.)?to_(q|k|v|out)_lora\.(down|up)\.weight$/,
    read: ([, module = '', part = '', name = '']) => [attentionPart(module, part), direction[name]],
  },
  {
    pattern: /^(.+)\.(?:lora|lora_linear_layer)\.(down|up)\.weight$/,
    read: ([, module = '', name = '']) => [module, direction[name]],
  },
  { pattern: /^(.+)\.([a-z0-9_]+)$/, read: ([, module = '', name = '']) => [module, name] },
];

/** The layer that an attention processor's LoRA of diffusers stood for. */
function attentionPart(module: string, part: string): string {
  if (module.endsWith('self_attn')) return `${module}.${part}_proj`;
  return part === 'out' ? `${module}.to_out.0` : `${module}.to_${part}`;
}

const roles: ReadonlySet<string> = new Set(loraRoles);

/** A module's name as keys are compared: `down_blocks.0.attentions.0` and `down_blocks_0_attentions_0` are one. */
export function underscored(module: string): string {
  return module.replaceAll('.', '_');
}

/** Parses a key; undefined if it does not belong to a LoRA. */
export function parseLoraKey(key: string): LoraKey | undefined {
  for (const { pattern, read } of endings) {
    const match = pattern.exec(key);
    if (!match) continue;
    const [path, role] = read(match);
    if (role === undefined || !roles.has(role)) return undefined;
    const [prefix, network] = prefixes.find(([start]) => path.startsWith(start)) ?? ['', undefined];
    return { network, module: underscored(path.slice(prefix.length)), role: role as LoraRole };
  }
  return undefined;
}
