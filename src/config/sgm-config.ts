/**
 * sgm's configuration of a whole model (Stability-AI/generative-models): `sgm.models.diffusion.DiffusionEngine` over `network_config`,
 * `first_stage_config`, `conditioner_config` and `denoiser_config`, as SDXL's YAML has them.
 */

import { type ComposedConfig, composedConfigSchema, type SizeField } from './composed-conditioner.ts';
import { type DiffusionParams, diffusionParamsSchema, type LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { className, type LdmOptions, ldmNetwork } from './ldm-network.ts';
import type { ClipTextConfig, FirstStageConfig } from './network-config.ts';
import { configError, isMapping, type Mapping, mapping, validated } from './validate.ts';

/** True if the class of this `target` is sgm's complete model. */
export function isSgmTarget(target: unknown): boolean {
  return typeof target === 'string' && target.split('.').at(-1) === 'DiffusionEngine';
}

const scalings: ReadonlyMap<string, 'eps' | 'v'> = new Map([
  ['EpsScaling', 'eps'],
  ['VScaling', 'v'],
]);

/** Levels of the scalings of continuous noise; sgm's configurations name the ends in their discretization. */
function continuousLevels(denoiser: unknown): DiffusionParams['noise_levels'] {
  const params = isMapping(denoiser) && isMapping(denoiser['params']) ? denoiser['params'] : {};
  const scaling = isMapping(params['scaling_config']) ? params['scaling_config'] : {};
  const name = String(scaling['target']).split('.').at(-1);
  if (name !== 'EDMScaling' && name !== 'VScalingWithEDMcNoise') return null;
  const own = isMapping(scaling['params']) ? scaling['params'] : {};
  return {
    scaling: name,
    sigma_min: 0.002,
    sigma_max: name === 'EDMScaling' ? 80 : 700,
    sigma_data: typeof own['sigma_data'] === 'number' ? own['sigma_data'] : name === 'EDMScaling' ? 0.5 : 1,
  };
}

/** sgm gives the network sigma itself where its denoiser says so. */
function isToldSigma(denoiser: unknown): boolean {
  const params = isMapping(denoiser) && isMapping(denoiser['params']) ? denoiser['params'] : {};
  return params['quantize_c_noise'] === false;
}

/** The network's parameterization; only DDPM's discrete noise is supported. */
function parameterization(denoiser: unknown, what: string): 'eps' | 'v' {
  const params = isMapping(denoiser) && isMapping(denoiser['params']) ? denoiser['params'] : {};
  const name = (key: string, fallback: string): string =>
    isMapping(params[key]) ? className(params[key]['target'], `${key} of ${what}`) : fallback;
  const scaling = name('scaling_config', 'EpsScaling');
  const discretization = name('discretization_config', 'LegacyDDPMDiscretization');
  const found = scalings.get(scaling);
  if (!found || discretization !== 'LegacyDDPMDiscretization')
    throw configError(
      `${what}: a denoiser of ${scaling} and ${discretization} is not supported; ${[...scalings.keys()].join(' and ')} with LegacyDDPMDiscretization are.`,
    );
  return found;
}

/** Fields of the picture's sizes by `input_key`. */
const sizeKeys: ReadonlyMap<unknown, SizeField> = new Map([
  ['original_size_as_tuple', 'original'],
  ['crop_coords_top_left', 'crop'],
  ['target_size_as_tuple', 'target'],
  ['aesthetic_score', 'aesthetic'],
]);

/** sgm's conditioner: its text encoders, then the sizes as one embedder. */
function conditioner(value: unknown, what: string, options: LdmOptions): ComposedConfig | ClipTextConfig {
  const { params } = mapping(value, `conditioner_config of ${what}`);
  const { emb_models: models, zero_empty } = mapping(params, `params of conditioner_config of ${what}`);
  if (!Array.isArray(models)) throw configError(`${what}: conditioner_config should have a list emb_models.`);
  const texts: ClipTextConfig[] = [];
  const fields: SizeField[] = [];
  let width: unknown;
  for (const model of models) {
    const embedder = mapping(model, `an embedder of ${what}`);
    const name = className(embedder['target'], `an embedder of ${what}`);
    if (name === 'ConcatTimestepEmbedderND') {
      const field = sizeKeys.get(embedder['input_key']);
      const outdim = isMapping(embedder['params']) ? embedder['params']['outdim'] : undefined;
      if (!field || (width !== undefined && outdim !== width))
        throw configError(
          `${what}: the embedder of ${String(embedder['input_key'])} (${String(outdim)}) is not supported.`,
        );
      width = outdim;
      fields.push(field);
      continue;
    }
    const index = texts.length;
    const { pretrained } = options;
    const network = ldmNetwork(embedder, `embedder ${index} of ${what}`, {
      ...(pretrained ? { pretrained: (version: string) => pretrained(version, index) } : {}),
    });
    if (network.kind !== 'clip_text')
      throw configError(`${what}: an embedder of kind ${network.kind} is not supported together with others.`);
    texts.push(network);
  }
  if (fields.length === 0 && texts.length === 1 && texts[0]) return texts[0];
  const sizes = fields.length > 0 ? [{ kind: 'sizes', fields, width }] : [];
  return validated(
    composedConfigSchema,
    { kind: 'composed', embedders: [...texts, ...sizes], ...(zero_empty === false ? { zero_empty } : {}) },
    what,
  );
}

/** sgm's complete model. Its noise schedule is that of Stable Diffusion. Throws `config-invalid`. */
export function sgmModel(section: Mapping, what: string, options: LdmOptions = {}): LatentDiffusionConfig {
  const params = mapping(section['params'], `params of ${what}`);
  const unet = ldmNetwork(params['network_config'], `network_config of ${what}`, options);
  const firstStage = ldmNetwork(params['first_stage_config'], `first_stage_config of ${what}`, options);
  if (unet.kind !== 'unet')
    throw configError(`${what}: network_config should be a UNetModel, and is of kind ${unet.kind}.`);
  if (firstStage.kind !== 'kl' && firstStage.kind !== 'vq' && firstStage.kind !== 'identity')
    throw configError(`${what}: first_stage_config should be an autoencoder, and is of kind ${firstStage.kind}.`);
  const levels = continuousLevels(params['denoiser_config']);
  const condition = conditioner(params['conditioner_config'], what, options);
  return {
    ...validated(
      diffusionParamsSchema,
      {
        linear_start: 0.00085,
        linear_end: 0.012,
        scale_factor: params['scale_factor'],
        parameterization: levels ? 'eps' : parameterization(params['denoiser_config'], what),
        noise_levels: levels,
        time_is_sigma: levels === null && isToldSigma(params['denoiser_config']),
        image_size: condition.kind === 'composed' ? 128 : 64,
        channels: firstStage.kind === 'identity' ? unet.out_channels : firstStage.embed_dim,
        first_stage_key: 'jpg',
        cond_stage_key: 'txt',
        use_ema: false,
      },
      what,
    ),
    kind: 'latent_diffusion',
    target: 'DiffusionEngine',
    conditioning_key: 'crossattn',
    unet_config: unet,
    first_stage_config: firstStage satisfies FirstStageConfig,
    cond_stage_config: condition,
    image_condition: null,
    cond_stage_version: null,
    cond_stage_max_length: 77,
    base_learning_rate: null,
    scheduler_config: null,
    other: {},
  };
}
