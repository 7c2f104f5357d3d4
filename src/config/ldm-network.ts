/**
 * `target` and `params` of LDM's YAML, for one network, to its typed configuration.
 *
 * A class is recognised by the last part of its `target`, because forks move the modules and keep the classes. Parameters
 * that only training or device placement uses are ignored; an unknown parameter is an error, because it would change the network.
 */

import {
  bertEmbedderConfigSchema,
  classEmbedderConfigSchema,
  controlNetConfigSchema,
  clipImageEmbedderConfigSchema,
  clipTextConfigSchema,
  clipTextEmbedderConfigSchema,
  ddconfigSchema,
  ddpmUNetConfigSchema,
  discriminatorConfigSchema,
  encoderUNetConfigSchema,
  klConfigSchema,
  lpipsConfigSchema,
  lucidUNetConfigSchema,
  type NetworkConfig,
  openAiClipConfigSchema,
  type OpenAiClipConfig,
  spatialRescalerConfigSchema,
  unetConfigSchema,
  vqConfigSchema,
} from './network-config.ts';
import { defaultClipVersion, openAiClip, pretrainedText } from './pretrained-text.ts';
import { configError, type Mapping, mapping, validated } from './validate.ts';

export interface LdmOptions {
  /**
   * Hugging Face fields of the text encoder that a configuration names by `version`, if the caller knows them (from its `config.json`
   * next to the YAML, or from the sizes of the weights). Undefined or a missing field: the published model of that name.
   */
  readonly pretrained?: (version: string, encoder?: number) => Mapping | undefined;
  /** The network of the image condition, as the weights show it. */
  readonly imageNetwork?: NetworkConfig | undefined;
}

type Builder = (params: Mapping, what: string, options: LdmOptions) => NetworkConfig;

const builders: ReadonlyMap<string, Builder> = new Map<string, Builder>([
  ['UNetModel', (params, what) => validated(unetConfigSchema, unetParams(params, 'unet'), what)],
  ['EncoderUNetModel', (params, what) => validated(encoderUNetConfigSchema, unetParams(params, 'encoder_unet'), what)],
  ['Model', ddpmUNet],
  ['Unet', (params, what) => validated(lucidUNetConfigSchema, { kind: 'lucid_unet', ...params }, what)],
  ['ControlNet', controlNet],
  ['AutoencoderKL', kl],
  ['VQModel', (params, what) => vq(params, what, false)],
  ['VQModelInterface', (params, what) => vq(params, what, true)],
  ['IdentityFirstStage', () => ({ kind: 'identity' })],
  ['Identity', () => ({ kind: 'identity' })],
  ['FrozenCLIPEmbedder', clipText],
  ['FrozenOpenCLIPEmbedder', openClipText],
  ['FrozenOpenCLIPEmbedder2', openClipText],
  ['FrozenCLIPTextEmbedder', clipTextEmbedder],
  ['FrozenClipImageEmbedder', clipImageEmbedder],
  ['CLIP', (params, what) => validated(openAiClipConfigSchema, { kind: 'openai_clip', ...params }, what)],
  [
    'BERTEmbedder',
    (params, what) => validated(bertEmbedderConfigSchema, { kind: 'bert', ...without(params, ['device']) }, what),
  ],
  [
    'TransformerEmbedder',
    (params, what) =>
      validated(bertEmbedderConfigSchema, { kind: 'bert', ...without(params, ['device']), use_tokenizer: false }, what),
  ],
  [
    'ClassEmbedder',
    (params, what) => validated(classEmbedderConfigSchema, { kind: 'class_embedder', ...params }, what),
  ],
  [
    'NLayerDiscriminator',
    (params, what) => validated(discriminatorConfigSchema, { kind: 'discriminator', ...params }, what),
  ],
  [
    'LPIPS',
    (params, what) => validated(lpipsConfigSchema, { kind: 'lpips', ...without(params, ['use_dropout']) }, what),
  ],
  [
    'SpatialRescaler',
    (params, what) => validated(spatialRescalerConfigSchema, { kind: 'spatial_rescaler', ...params }, what),
  ],
]);

/** Classes that can be built, by the last part of their `target`. */
export const ldmTargets: readonly string[] = [...builders.keys()];

/** The last part of a dotted `target`. Throws `config-invalid` if there is none. */
export function className(target: unknown, what: string): string {
  const name = typeof target === 'string' ? /(?:^|\.)([A-Za-z_]\w*)$/.exec(target)?.[1] : undefined;
  if (name === undefined) throw configError(`${what} needs a target, the dotted name of a class.`, { target });
  return name;
}

/** A `{ target, params }` mapping as a network configuration. Throws `config-invalid`. */
export function ldmNetwork(value: unknown, what: string, options: LdmOptions = {}): NetworkConfig {
  const { target, params } = mapping(value, what);
  const name = className(target, what);
  if (/^imagen_pytorch\./.test(String(target)))
    throw configError(
      `${what}: ${String(target)} is of imagen-pytorch, whose networks are not supported. Imagen's kind that is: DeepFloyd IF, from its diffusers folders.`,
    );
  const build = builders.get(name);
  if (!build)
    throw configError(
      `${what}: the target ${String(target)} is not one we can build. Known are ${ldmTargets.join(', ')}.`,
      { target },
    );
  return build(
    params === undefined || params === null ? {} : mapping(params, `params of ${name}`),
    `${what} (${name})`,
    options,
  );
}

function without(params: Mapping, names: readonly string[]): Mapping {
  return Object.fromEntries(Object.entries(params).filter(([name]) => !names.includes(name)));
}

/** `num_classes: sequential` (sgm) means a vector of `adm_in_channels` in place of classes. */
function unetParams(params: Mapping, kind: string): Mapping {
  // `softmax` and `softmax-xformers` compute the same.
  const isSoftmax = /^softmax/.test(String(params['spatial_transformer_attn_type']));
  const {
    context_dim: context,
    num_classes: classes,
    adm_in_channels: vector,
    ...rest
  } = without(params, ['use_fp16', 'use_bf16', ...(isSoftmax ? ['spatial_transformer_attn_type'] : [])]);
  // One width for each transformer block; all are the same.
  const single = Array.isArray(context) && context.every((width) => width === context[0]) ? context[0] : context;
  return {
    kind,
    // sgm's UNet has spatial transformers wherever it has a context.
    ...(context === undefined || context === null ? {} : { use_spatial_transformer: true }),
    ...(rest['disable_middle_self_attn'] === false ? without(rest, ['disable_middle_self_attn']) : rest),
    ...(context === undefined ? {} : { context_dim: single }),
    ...(classes === 'sequential' ? { adm_in_channels: vector } : {}),
    ...(classes === undefined || classes === 'sequential' ? {} : { num_classes: classes }),
  };
}

/** `use_linear_attn` is an older name of `attn_type: linear`. */
function ddpmUNet(params: Mapping, what: string): NetworkConfig {
  const { use_linear_attn: linear, ...rest } = params;
  return validated(
    ddpmUNetConfigSchema,
    { kind: 'ddpm_unet', ...rest, ...(linear === true ? { attn_type: 'linear' } : {}) },
    what,
  );
}

/** A UNet's arguments without `out_channels`, and the hint's. */
function controlNet(params: Mapping, what: string): NetworkConfig {
  const { hint_channels, ...rest } = params;
  const unet = validated(unetConfigSchema, unetParams({ ...rest, out_channels: rest['in_channels'] }, 'unet'), what);
  return validated(controlNetConfigSchema, { kind: 'controlnet', unet, hint_channels }, what);
}

/** `Encoder(**ddconfig)` and `Decoder(**ddconfig)` ignore what they do not know. */
function ddconfig(value: unknown, what: string): Mapping {
  const params = mapping(value, `ddconfig of ${what}`);
  const known = Object.keys(ddconfigSchema.unwrap().shape);
  const linear = params['use_linear_attn'] === true ? { attn_type: 'linear' } : {};
  return { ...Object.fromEntries(Object.entries(params).filter(([name]) => known.includes(name))), ...linear };
}

function kl(params: Mapping, what: string): NetworkConfig {
  const config = validated(
    klConfigSchema,
    { kind: 'kl', embed_dim: params['embed_dim'], ddconfig: ddconfig(params['ddconfig'], what) },
    what,
  );
  if (!config.ddconfig.double_z) throw configError(`${what}: double_z has to be true for AutoencoderKL.`);
  return config;
}

function vq(params: Mapping, what: string, isInterface: boolean): NetworkConfig {
  if (params['remap'] !== undefined && params['remap'] !== null)
    throw configError(`${what}: remap, a file of used indices, is not supported.`);
  return validated(
    vqConfigSchema,
    {
      kind: 'vq',
      embed_dim: params['embed_dim'],
      n_embed: params['n_embed'],
      ddconfig: ddconfig(params['ddconfig'], what),
      interface: isInterface,
      sane_index_shape: params['sane_index_shape'],
    },
    what,
  );
}

/** `version` names a published model; fields of its `config.json` among the parameters take precedence. */
function clipText(params: Mapping, what: string, options: LdmOptions): NetworkConfig {
  const { version = defaultClipVersion, layer = 'last', layer_idx: index } = params;
  if (typeof version !== 'string')
    throw configError(`${what}: version should be a name, and is ${JSON.stringify(version)}.`);
  if (layer !== 'last' && layer !== 'hidden')
    throw configError(`${what}: layer ${JSON.stringify(layer)} is not supported; last and hidden are.`);
  const explicit = without(params, [
    'version',
    'device',
    'max_length',
    'freeze',
    'layer',
    'layer_idx',
    'always_return_pooled',
  ]);
  const known = { ...pretrainedText(version), ...options.pretrained?.(version) };
  if (Object.keys(known).length === 0 && explicit['hidden_size'] === undefined) {
    throw configError(
      `${what}: the sizes of the text encoder ${version} are not known. Put hidden_size and the other fields of its config.json among the params.`,
    );
  }
  const config = validated(clipTextConfigSchema, { kind: 'clip_text', ...known, ...explicit }, what);
  if (layer === 'last') return config;
  // hidden_states[layer_idx], unchanged; a negative index counts from the end.
  const state = typeof index === 'number' ? (index < 0 ? config.num_hidden_layers + 1 + index : index) : -1;
  if (!Number.isInteger(state) || state < 0 || state > config.num_hidden_layers)
    throw configError(
      `${what}: layer_idx ${JSON.stringify(index)} is not one of the ${config.num_hidden_layers + 1} states.`,
    );
  return { ...config, layers_skipped: config.num_hidden_layers - state, output_norm: false };
}

/** OpenCLIP's text encoder; `arch` determines its sizes. SDXL's (`…Embedder2`) skips the final norm unless `legacy` and may return the pooled text. */
function openClipText(params: Mapping, what: string, options: LdmOptions): NetworkConfig {
  const { arch = 'ViT-H-14', layer = 'last', always_return_pooled: pooled = false, legacy = true } = params;
  if (typeof arch !== 'string' || (layer !== 'last' && layer !== 'penultimate'))
    throw configError(
      `${what}: arch ${JSON.stringify(arch)} with layer ${JSON.stringify(layer)} is not supported; the layers are last and penultimate.`,
    );
  const names = ['arch', 'version', 'device', 'max_length', 'freeze', 'layer', 'always_return_pooled', 'legacy'];
  const known = { ...pretrainedText(arch), ...options.pretrained?.(arch) };
  if (Object.keys(known).length === 0)
    throw configError(
      `${what}: the sizes of the text encoder ${arch} are not known, and the file has none of this name.`,
    );
  return validated(
    clipTextConfigSchema,
    {
      kind: 'clip_text',
      ...known,
      hidden_act: 'gelu',
      pad_token_id: 0,
      layers_skipped: layer === 'penultimate' ? 1 : 0,
      output_norm: layer === 'last' || legacy === true,
      pooled_output: pooled === true,
      with_projection: pooled === true,
      ...without(params, names),
    },
    what,
  );
}

function openAi(name: unknown, what: string): OpenAiClipConfig {
  const model = typeof name === 'string' ? openAiClip(name) : undefined;
  if (!model)
    throw configError(
      `${what}: the CLIP model ${JSON.stringify(name)} is not known, or is a ResNet; ViT-L/14, ViT-B/32 and ViT-B/16 are.`,
    );
  return model;
}

function clipTextEmbedder(params: Mapping, what: string): NetworkConfig {
  const { version = 'ViT-L/14', ...rest } = without(params, ['device']);
  return validated(
    clipTextEmbedderConfigSchema,
    { kind: 'clip_text_embedder', ...rest, model: openAi(version, what) },
    what,
  );
}

function clipImageEmbedder(params: Mapping, what: string): NetworkConfig {
  const { model, ...rest } = without(params, ['device', 'jit']);
  return validated(
    clipImageEmbedderConfigSchema,
    { kind: 'clip_image_embedder', ...rest, model: openAi(model, what) },
    what,
  );
}
