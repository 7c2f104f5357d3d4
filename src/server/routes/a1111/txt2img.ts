/** POST /sdapi/v1/txt2img */

import type { ServerContext } from '../../context.ts';
import type { JobDraft } from '../../accept-job.ts';
import { defineRoute } from '../../http/route.ts';
import { answerGeneration, sharedDraft } from './generation.ts';
import { generationResponse, type TextToImageFields, textToImageFields } from './generation-fields.ts';
import { upscalerNamed } from './upscaler-table.ts';

/** "Hires. fix". Without a size of its own, A1111 enlarges by `hr_scale`. */
function hiresOf(body: TextToImageFields, steps: number): JobDraft['hires'] {
  if (!body.enable_hr) return undefined;
  const upscalerName = body.hr_upscaler ?? 'Latent';
  const [width, height] = [body.hr_resize_x ?? 0, body.hr_resize_y ?? 0];
  return {
    scale: body.hr_scale ?? 2,
    ...(width > 0 ? { width } : {}),
    ...(height > 0 ? { height } : {}),
    steps: body.hr_second_pass_steps || steps,
    strength: body.denoising_strength ?? 0.75,
    upscaler: upscalerNamed(upscalerName, ['body', 'hr_upscaler']),
    upscalerName,
  };
}

export function textToImageDraft(context: ServerContext, owner: string, body: TextToImageFields): JobDraft {
  const draft = sharedDraft(context, owner, body, 'txt2img');
  const hires = hiresOf(body, draft.steps ?? 50);
  return { ...draft, ...(hires ? { hires } : {}) };
}

export const txt2img = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/txt2img',
  summary: 'Makes pictures of a prompt',
  flavour: 'a1111',
  body: textToImageFields,
  response: generationResponse,
  handle: (context, request) => answerGeneration(context, request, textToImageDraft(context, request.owner, request.body), request.body, request.body),
});
