/** Guidance by what the network's attention sees or does not see, on denoised predictions, as ComfyUI's nodes have it. */

import { blurAttended } from '../../diffusion/self-attention-guidance.ts';
import { attentionMap, attentionMapOutput } from '../../extensions/attention-map.ts';
import { perturbedAttention } from '../../extensions/perturbed-attention.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import { expectDType } from '../../tensor/tensor.ts';
import { type ModelValue, patched, withExtension } from '../values/model.ts';

/** Latents with sides up to this many elements are too small to blur, and stay as they are. */
const leastBlurred = 4;

/** Self-attention guidance (Hong et al. 2023, arXiv 2210.00939): away from what is predicted where the image is blurred that the network looks at. */
export function selfAttentionGuided(model: ModelValue, scale: number, sigma: number): ModelValue {
  return patched(withExtension(model, attentionMap), {
    keepsUnconditional: true,
    watches: attentionMapOutput,
    afterGuidance: [
      async (guided, { x, unconditional, watched }, { predict }) => {
        const [, , height = 0, width = 0] = guided.shape;
        if (!watched || Math.min(height, width) <= leastBlurred) return guided;
        const degraded = blurAttended(unconditional, expectDType(watched, 'float32', attentionMapOutput), sigma);
        const noised = linearCombination([1, degraded], [1, x], [-1, unconditional]);
        const away = await predict('unconditional', { x: noised });
        return linearCombination([1, guided], [scale, degraded], [-scale, away]);
      },
    ],
  });
}

/** Perturbed-attention guidance (Ahn et al. 2024, arXiv 2403.17377), the self-attention of the middle block perturbed. */
export function perturbedAttentionGuided(model: ModelValue, scale: number): ModelValue {
  return patched(withExtension(model, perturbedAttention(['mid'])), {
    keepsUnconditional: true,
    afterGuidance: [
      async (guided, { conditional }, { predict }) => {
        if (scale === 0) return guided;
        const perturbed = await predict('conditional', { inputs: { perturbed: 1 } });
        return linearCombination([1, guided], [scale, conditional], [-scale, perturbed]);
      },
    ],
  });
}
