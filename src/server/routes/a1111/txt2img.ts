/** POST /sdapi/v1/txt2img */

import type { ServerContext } from '../../context.ts';
import type { JobDraft } from '../../decide-job.ts';
import { atField } from '../../http/problem.ts';
import { defineRoute } from '../../http/route.ts';
import { withInfotext } from './infotext-fields.ts';
import { controlsIn } from './controls-in.ts';
import { answerGeneration, draftsWith, samplingOf, type SharedDraft, sharedDraft } from './generation.ts';
import { generationResponse, type TextToImageFields, textToImageFields } from './generation-fields.ts';
import { chosenScript } from './scripts/index.ts';
import { withStyles } from './prompt-styles.ts';
import { latentModeNamed, upscalerNamed } from './upscaler-table.ts';

/** "Hires. fix". What is left out or empty is as in the first pass. */
async function hiresOf(
  context: ServerContext,
  body: TextToImageFields,
  first: SharedDraft,
): Promise<JobDraft['hires']> {
  if (!body.enable_hr) return undefined;
  const [width, height] = [body.hr_resize_x ?? 0, body.hr_resize_y ?? 0];
  const checkpoint = body.hr_checkpoint_name ?? '';
  const model =
    checkpoint === '' || checkpoint === 'Use same checkpoint'
      ? undefined
      : (await atField(['body', 'hr_checkpoint_name'], () => context.catalog.find(checkpoint))).name;
  const other = <T>(value: T | null | undefined, same: T): T | undefined =>
    value === null || value === undefined || value === '' || value === same ? undefined : value;
  const samplerName = other(body.hr_sampler_name, 'Use same sampler');
  const schedulerName = other(body.hr_scheduler, 'Use same scheduler');
  const sampling =
    samplerName === undefined && schedulerName === undefined
      ? undefined
      : samplingOf(samplerName ?? first.labels.sampler, schedulerName ?? body.scheduler, 'hr_scheduler');
  const [prompt, negativePrompt] = [
    other(body.hr_prompt, first.prompt),
    other(body.hr_negative_prompt, first.negativePrompt ?? ''),
  ];
  return {
    asked: width === 0 && height === 0 ? { scale: body.hr_scale ?? 2 } : { width, height },
    ...(body.hr_second_pass_steps ? { steps: body.hr_second_pass_steps } : {}),
    strength: body.denoising_strength ?? 0.75,
    upscaler: upscalerNamed(body.hr_upscaler ?? 'Latent', ['body', 'hr_upscaler']),
    ...(body.hr_upscaler === null ? {} : { upscalerName: body.hr_upscaler }),
    latentMode: latentModeNamed(body.hr_upscaler ?? 'Latent'),
    prompt,
    negativePrompt,
    ...(sampling && sampling.labels.sampler !== first.labels.sampler ? { sampler: sampling.labels.sampler } : {}),
    ...(sampling?.schedule === undefined ? {} : { schedule: sampling.schedule }),
    ...(sampling?.labels.resolved === undefined || sampling.labels.resolved === first.labels.resolved
      ? {}
      : { scheduler: sampling.labels.resolved }),
    ...(model === undefined || model === context.catalog.find(first.model).name ? {} : { model }),
  };
}

async function textToImageDraft(context: ServerContext, owner: string, body: TextToImageFields): Promise<JobDraft> {
  const first = sharedDraft(context, owner, body, 'txt2img');
  const hires = await hiresOf(context, body, first);
  return { ...first, ...(hires ? { hires } : {}) };
}

export const txt2img = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/txt2img',
  summary: 'Generates pictures from a prompt',
  flavour: 'a1111',
  body: textToImageFields,
  takesPictures: true,
  response: generationResponse,
  async handle(context, request) {
    const body = withInfotext(context, request.body, textToImageFields);
    const chosen = chosenScript(body, 'txt2img');
    if (chosen?.script.run)
      return chosen.script.run({
        context,
        caller: request,
        body,
        isImageToImage: false,
        args: chosen.args,
        draftOf: draftsWith(await controlsIn(context, request, body, false), (own) =>
          textToImageDraft(context, request.owner, withStyles(context.styles, { ...body, ...own })),
        ),
      });
    const draft = await textToImageDraft(context, request.owner, withStyles(context.styles, body));
    return answerGeneration(context, request, draft, body, await controlsIn(context, request, body, false));
  },
});
