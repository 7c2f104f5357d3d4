/** A whole model from the components of a diffusers folder (`model_index.json`, `unet/`, `vae/`, `text_encoder/`, …), each opened. */

import { schedulerParams } from '../config/diffusers-scheduler.ts';
import { huggingFaceNetwork } from '../config/hugging-face-network.ts';
import type { SafetyCheckerConfig } from '../config/network-config.ts';
import { configError, isMapping, type Mapping } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { canonicalWeights } from './canonical.ts';
import { assembledConfig, type Checkpoint, checkpointKind } from './checkpoint.ts';
import { type DetectedNetwork, detectNetwork } from './detect.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** One component: its weights, and its `config.json`, parsed, where it has one. */
export interface DiffusersComponent {
  readonly source: WeightSource;
  readonly config?: unknown;
}

export interface DiffusersFolder {
  readonly label: string;
  readonly unet: DiffusersComponent;
  readonly vae: DiffusersComponent;
  readonly text_encoder?: DiffusersComponent;
  readonly safety_checker?: DiffusersComponent;
  /** `scheduler/scheduler_config.json`, parsed. */
  readonly scheduler?: unknown;
  /** `model_index.json`, parsed. */
  readonly model_index?: unknown;
}

/** Throws `config-invalid`, `model-unknown` or `weights-mismatch`. Reads no weights. */
export function diffusersCheckpoint(folder: DiffusersFolder): Checkpoint {
  const open = (name: string, component: DiffusersComponent): DetectedNetwork => {
    if (component.config === undefined) return detectNetwork(component.source);
    const config = huggingFaceNetwork(component.config, `${folder.label}/${name}/config.json`);
    return { ...canonicalWeights(component.source, config), config, assumed: [] };
  };
  const unet = open('unet', folder.unet);
  const vae = open('vae', folder.vae);
  const text = folder.text_encoder && open('text_encoder', folder.text_encoder);
  const safety = folder.safety_checker && open('safety_checker', folder.safety_checker);
  if (unet.config.kind !== 'unet')
    throw configError(`${folder.label}/unet holds a network of kind ${unet.config.kind}.`);
  if (!text && unet.config.context_dim !== null) {
    throw new StableDiffusionError('weights-mismatch', `${folder.label} has no text_encoder, and its UNet needs one.`);
  }
  if (safety && safety.config.kind !== 'safety_checker')
    throw configError(`${folder.label}/safety_checker holds a network of kind ${safety.config.kind}.`);
  const scheduler = isMapping(folder.scheduler) ? folder.scheduler : undefined;
  const scale = isMapping(folder.vae.config) ? folder.vae.config['scaling_factor'] : undefined;
  const config = assembledConfig({
    unet: unet.config,
    firstStage: vae.config,
    condStage: text?.config ?? null,
    params: {
      ...(scheduler ? schedulerParams(scheduler, `${folder.label}/scheduler`) : {}),
      ...(typeof scale === 'number' && scale > 0 ? { scale_factor: scale } : {}),
      image_size: unet.config.image_size,
    },
  });
  const parts = [unet, vae, ...(text ? [text] : []), ...(safety ? [safety] : [])];
  return {
    label: folder.label,
    config: { ...config, cond_stage_version: text ? `${folder.label}/tokenizer` : null },
    ...(safety ? { safety_config: safety.config as SafetyCheckerConfig } : {}),
    parts: {
      unet: unet.source,
      first_stage: vae.source,
      cond_stage: text?.source ?? emptyWeights(folder.label),
      ...(safety ? { safety: safety.source } : {}),
    },
    layout: 'diffusers',
    kind: checkpointKind(config),
    ema: 'absent',
    assumed: parts.flatMap((part) => part.assumed),
    unused: [],
    ...(scheduler ? { scheduler: scheduler satisfies Mapping } : {}),
    metadata: new Map(),
    async close() {
      await Promise.all(parts.map((part) => part.source.close()));
    },
  };
}

function emptyWeights(label: string): WeightSource {
  return {
    label,
    entries: new Map(),
    async read(name) {
      throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${name}.`);
    },
    async close() {},
  };
}
