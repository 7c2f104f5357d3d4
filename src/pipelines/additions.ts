/** What a request adds to the network of a run: extensions, and the terms that follow guidance. Loaded by runs that need it. */

import type { GuidanceTerm, Network } from '../diffusion/guidance.ts';
import { perturbedGuidance } from '../diffusion/perturbed-guidance.ts';
import type { Extension } from '../extensions/extension.ts';
import { freeU } from '../extensions/free-u.ts';
import { perturbedAttention } from '../extensions/perturbed-attention.ts';
import { seamless } from '../extensions/seamless.ts';
import { tokenMerging } from '../extensions/token-merging.ts';
import { perturbedLayers } from '../generation/addition-fields.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';

/** A run has it until it is disposed of. */
export interface RunDenoiser extends AsyncDisposable {
  readonly network: Network;
  readonly terms: readonly GuidanceTerm[];
}

/** The extensions of a request, in a fixed order. */
function extensionsOf({
  freeU: factors,
  perturbedAttention: pag,
  tokenMerging: ratio,
  seamless: axes,
}: GenerationRequest): Extension[] {
  const { version, ...own } = factors ?? {};
  return [
    ...(factors ? [freeU({ b1: 1, b2: 1, s1: 1, s2: 1, ...own }, { version: version ?? 1 })] : []),
    ...(axes ? [seamless(axes)] : []),
    ...(ratio ? [tokenMerging({ ratio })] : []),
    ...(pag ? [perturbedAttention(perturbedLayers(pag.layers))] : []),
  ];
}

/** The network with the additions of a request; undefined for none. */
export async function denoiserWithAdditions(
  model: Model,
  request: GenerationRequest,
  [, , height = 1, width = 1]: readonly number[],
): Promise<RunDenoiser | undefined> {
  const { selfAttentionGuidance: sag, perturbedAttention: pag, deepCache } = request;
  const extensions = extensionsOf(request);
  if (extensions.length === 0 && !sag && !deepCache) return undefined;
  const { form, ...end } = await model.denoiserForms({
    extensions,
    size: extensions.some(({ needsSize }) => needsSize) ? [height, width] : undefined,
    deepCache: deepCache && { interval: deepCache.interval, branch: deepCache.branch ?? 0 },
  });
  const pagTerms = pag ? [perturbedGuidance(pag)] : [];
  if (!sag) return { ...end, network: form.network(), terms: pagTerms };
  const watched = form.selfAttentionGuided(sag);
  return { ...end, network: watched.network, terms: [watched.term, ...pagTerms] };
}
