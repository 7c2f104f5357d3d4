/** Forms of a model's networks that a request asks for: the denoiser with extensions, the autoencoder without a seam. One of each is kept. */

import { ldmUNet } from '../config/network-config.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import type { SeamlessAxes } from '../extensions/seamless.ts';
import { type Autoencoder, autoencoderOf, type StageOptions } from './autoencoder.ts';
import { type DenoiserForms, type DenoiserFormsOptions, openDenoiserForms } from './denoiser-forms.ts';
import type { FormLease, KeptForm } from './kept-form.ts';
import { NetworkSet } from './network-set.ts';
import { patchedAutoencoder } from './patched-autoencoder.ts';

export type FormsRequest = Pick<DenoiserFormsOptions, 'extensions' | 'size' | 'deepCache'>;

/** What of a model its forms are made of. */
interface FormedModel {
  readonly label: string;
  readonly precision: PrecisionName;
  readonly checkpoint: Checkpoint;
  readonly networks: NetworkSet;
  readonly autoencoder: Autoencoder;
  readonly keptForm: KeptForm;
}

export interface ModelForms {
  readonly denoiser: (request: FormsRequest) => Promise<FormLease<DenoiserForms>>;
  /** The autoencoder of pictures without a seam, or that works in patches; else the model's own. */
  readonly autoencoder: (options: StageOptions) => Promise<Autoencoder>;
  readonly dispose: () => Promise<void>;
}

export function createModelForms(model: FormedModel): ModelForms {
  let stage: { readonly axes: SeamlessAxes; readonly networks: NetworkSet } | undefined;
  const seamlessAutoencoder = async (axes: SeamlessAxes | undefined): Promise<Autoencoder> => {
    if (!axes) return model.autoencoder;
    const { label, precision, checkpoint } = model;
    const config = checkpoint.config.first_stage_config;
    if (config.kind !== 'kl')
      throw new StableDiffusionError(
        'invalid-argument',
        `Seamless pictures need a KL autoencoder; that of ${label} is ${config.kind}.`,
      );
    if (stage?.axes !== axes) {
      await stage?.networks.dispose();
      const networks = new NetworkSet({
        label,
        engine: model.networks.engine,
        precision,
        networks: new Map([['first_stage', { config, weights: checkpoint.parts.first_stage, seamless: axes }]]),
      });
      stage = { axes, networks };
    }
    return autoencoderOf(config, stage.networks);
  };
  return {
    denoiser(request) {
      const { label, precision, checkpoint } = model;
      const names = request.extensions.map(({ name }) => name);
      return model.keptForm.lease(JSON.stringify(['forms', names, request.size, request.deepCache]), () =>
        openDenoiserForms({
          ...request,
          extensions: [...(model.networks.named('unet').extensions ?? []), ...request.extensions],
          label,
          engine: model.networks.engine,
          precision,
          config: ldmUNet(checkpoint.config.unet_config),
          weights: [checkpoint.parts.unet],
        }),
      );
    },
    async autoencoder({ seamless: axes, patches }) {
      const own = await seamlessAutoencoder(axes);
      return patches ? patchedAutoencoder(own, patches) : own;
    },
    async dispose() {
      await stage?.networks.dispose();
    },
  };
}
