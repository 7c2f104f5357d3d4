/** What a run calls as its network: the model's own, or a form with what the request adds to it, and the terms that follow guidance. */

import { StableDiffusionError } from '../errors.ts';
import type { GenerationRequest } from '../generation/request.ts';
import { noLease } from '../model/kept-form.ts';
import type { Model } from '../model/model.ts';
import type { RunDenoiser } from './additions.ts';

/** Throws `invalid-argument` for additions that cannot act together. */
export function checkAdditions(
  { checkpoint }: Model,
  request: GenerationRequest,
  { hasRefiner, hasControls }: { readonly hasRefiner: boolean; readonly hasControls: boolean },
): void {
  const {
    freeU: factors,
    perturbedAttention: pag,
    selfAttentionGuidance: sag,
    deepCache,
    tokenMerging: ratio,
    promptSyntax,
    patches,
    seamless: axes,
  } = request;
  const refuse = (message: string): never => {
    throw new StableDiffusionError('invalid-argument', message);
  };
  const { noise_levels, time_is_sigma } = checkpoint.config;
  if ((noise_levels || time_is_sigma) && (factors || axes || pag || sag || deepCache || ratio))
    refuse(
      'freeU, seamless, selfAttentionGuidance, perturbedAttention, tokenMerging and deepCache need a model that takes a timestep. This model takes a noise level; leave them out.',
    );
  if ((pag || sag) && promptSyntax === 'a1111')
    refuse(
      "selfAttentionGuidance and perturbedAttention work with the plain prompt syntax only. Leave them out, or A1111's syntax.",
    );
  if ((pag || sag) && checkpoint.kind === 'ip2p')
    refuse(
      'selfAttentionGuidance and perturbedAttention do not work with models that are guided by a picture. Leave them out.',
    );
  if (patches && (ratio || axes || deepCache || sag))
    refuse(
      'tokenMerging, seamless, deepCache and selfAttentionGuidance need the whole latent, and patches cut it. Leave them or the patches out.',
    );
  if (sag && deepCache)
    refuse(
      'selfAttentionGuidance needs the whole network at every step, and deepCache leaves it out. Use one of them.',
    );
  if (hasControls && (factors || axes || pag || sag || deepCache || ratio))
    refuse(
      'freeU, seamless, selfAttentionGuidance, perturbedAttention, tokenMerging and deepCache do not work with controls yet. Leave them or the controls out.',
    );
  if (hasRefiner && (factors || pag || sag || deepCache || ratio))
    refuse(
      'freeU, selfAttentionGuidance, perturbedAttention, tokenMerging and deepCache do not go on in a refiner. Leave them or the refiner out.',
    );
}

/** The model's own network. The form that another run left is freed. */
async function plainDenoiser(model: Model): Promise<RunDenoiser> {
  await model.keptForm.free();
  return { ...noLease, network: (inputs, signal) => model.predict(inputs, signal), terms: [] };
}

/** The network of one sampling run on latents [b, c, h, w]. */
export async function denoiserOf(
  model: Model,
  request: GenerationRequest,
  size: readonly number[],
): Promise<RunDenoiser> {
  const { freeU, perturbedAttention, selfAttentionGuidance, deepCache, tokenMerging, seamless } = request;
  if (!freeU && !perturbedAttention && !selfAttentionGuidance && !deepCache && !tokenMerging && !seamless)
    return plainDenoiser(model);
  const { denoiserWithAdditions } = await import('./additions.ts');
  return (await denoiserWithAdditions(model, request, size)) ?? plainDenoiser(model);
}
