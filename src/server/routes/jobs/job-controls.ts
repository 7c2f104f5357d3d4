/** Controls as the jobs API takes them: their pictures are stored, and what is left out has the request's defaults. */

import type * as z from 'zod';
import { takesMask } from '../../../pipelines/control-maps.ts';
import type { ServerContext } from '../../context.ts';
import type { JobDraft } from '../../decide-job.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { type Caller, readPicture, storePicture } from '../../http/picture-input.ts';
import {
  type controlBody,
  type imagePromptBody,
  type JobControl,
  jobControlSchema,
  type JobImagePrompt,
  jobImagePromptSchema,
} from '../../job-controls.ts';

interface ControlsBody {
  readonly control?: readonly z.output<typeof controlBody>[] | undefined;
  readonly imagePrompts?: readonly z.output<typeof imagePromptBody>[] | undefined;
}

/** The controls of a draft. Throws at a field what reading and storing a picture throws. */
export async function controlsOf(
  context: ServerContext,
  { control = [], imagePrompts = [] }: ControlsBody,
  caller: Caller,
): Promise<Pick<JobDraft, 'control' | 'imagePrompts'>> {
  const stored = async (text: string | undefined, where: readonly (string | number)[]): Promise<string | undefined> =>
    text === undefined
      ? undefined
      : atField(
          ['body', ...where],
          async () => (await storePicture(context, await readPicture(context, text, caller.signal), caller)).id,
        );
  const controls: JobControl[] = [];
  for (const [i, one] of control.entries()) {
    if (one.mask !== undefined && !takesMask({ preprocessor: one.preprocessor ?? 'none' }))
      throw invalidField(
        ['body', 'control', i, 'mask'],
        'a mask is for the preprocessors that inpaint; where a control acts is its region',
      );
    const pictures = {
      picture: await stored(one.picture, ['control', i, 'picture']),
      mask: await stored(one.mask, ['control', i, 'mask']),
      region: await stored(one.region, ['control', i, 'region']),
    };
    controls.push(jobControlSchema.parse({ ...one, ...pictures }));
  }
  const prompts: JobImagePrompt[] = [];
  for (const [i, one] of imagePrompts.entries()) {
    const pictures: (string | undefined)[] = [];
    for (const [k, text] of one.pictures.entries())
      pictures.push(await stored(text, ['imagePrompts', i, 'pictures', k]));
    const region = await stored(one.region, ['imagePrompts', i, 'region']);
    prompts.push(jobImagePromptSchema.parse({ ...one, pictures, region }));
  }
  return {
    ...(controls.length > 0 ? { control: controls } : {}),
    ...(prompts.length > 0 ? { imagePrompts: prompts } : {}),
  };
}
