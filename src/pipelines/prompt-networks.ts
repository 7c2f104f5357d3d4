/** Extra networks in prompts of A1111's syntax, `<lora:name:0.8>`: taken out of the text, and compared with what the model was loaded with. */

import { StableDiffusionError } from '../errors.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import { withoutComments } from '../prompt/comments.ts';
import { type LoraMention, promptNetworks } from '../prompt/lora-mentions.ts';

/** As `Model.adapters` names it. */
const adapterOf = ({ name, scale, textScale, blocks }: LoraMention): string =>
  `lora:${name}:${scale}${textScale === scale ? '' : `:${textScale}`}${blocks === undefined ? '' : `:lbw=${blocks}`}`;

/**
 * The request with prompts as the text encoder reads them. A LoRA belongs to a loaded model, so one that the model does not have at that
 * strength is refused. Throws `invalid-argument`.
 */
export function withoutNetworks(
  model: Pick<Model, 'adapters' | 'checkpoint'>,
  request: GenerationRequest,
): GenerationRequest {
  if (request.promptSyntax !== 'a1111') return request;
  const textOf = (prompt: string): string => {
    if (!prompt.includes('<')) return prompt;
    const { text, loras, hypernetworks, warnings } = promptNetworks(withoutComments(prompt));
    const [warning] = warnings;
    if (warning !== undefined)
      throw new StableDiffusionError('invalid-argument', `The prompt cannot be used: ${warning}`);
    const missing = loras.find((use) => !model.adapters.includes(adapterOf(use)));
    if (missing)
      throw new StableDiffusionError(
        'invalid-argument',
        `The prompt names the LoRA ${JSON.stringify(missing.name)}, and ${model.checkpoint.label} was not loaded with it at strength ${missing.scale}. Load the model with it, or leave it out of the prompt.`,
      );
    const absent = hypernetworks.find(({ name, scale }) => !model.adapters.includes(`hypernet:${name}:${scale}`));
    if (absent)
      throw new StableDiffusionError(
        'invalid-argument',
        `The prompt names the hypernetwork ${JSON.stringify(absent.name)}, and ${model.checkpoint.label} was not loaded with it at strength ${absent.scale}. Load the model with it, or leave it out of the prompt.`,
      );
    return text;
  };
  const { prompt, promptBatches } = request;
  return {
    ...request,
    ...(prompt === undefined ? {} : { prompt: typeof prompt === 'string' ? textOf(prompt) : prompt.map(textOf) }),
    ...(promptBatches === undefined ? {} : { promptBatches: promptBatches.map((batch) => batch.map(textOf)) }),
  };
}
