/** POST /api/v1/jobs */

import { createHash } from 'node:crypto';
import { acceptJob, type JobDraft } from '../../accept-job.ts';
import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { readPicture, storePicture } from '../../http/picture-input.ts';
import { defineRoute } from '../../http/route.ts';
import type { z } from 'zod';
import { jobBody, jobView, viewOf } from './job-body.ts';

async function draftOf(context: ServerContext, body: z.output<typeof jobBody>, signal: AbortSignal): Promise<JobDraft> {
  const stored = async (field: 'image' | 'mask'): Promise<string | undefined> => {
    const text = body[field];
    return text === undefined
      ? undefined
      : atField(['body', field], async () => storePicture(context, await readPicture(context, text, signal)));
  };
  if (body.kind !== 'txt2img' && body.image === undefined)
    throw invalidField(['body', 'image'], `A job of kind ${body.kind} needs an image.`);
  if (body.kind === 'inpaint' && body.mask === undefined)
    throw invalidField(['body', 'mask'], 'A job of kind inpaint needs a mask.');
  const {
    variation,
    inpaint,
    eta,
    clipSkip,
    resizeMode,
    imageGuidanceScale,
    priority: _priority,
    image: _image,
    mask: _mask,
    ...same
  } = body;
  const [image, mask] = [await stored('image'), await stored('mask')];
  return {
    ...same,
    ...(image ? { image } : {}),
    ...(mask ? { mask } : {}),
    ...(variation ? { subseed: variation.seed, subseedStrength: variation.strength } : {}),
    rest: {
      eta,
      clipSkip,
      ...(resizeMode ? { resizeMode } : {}),
      imageGuidanceScale,
      ...(body.kind === 'inpaint'
        ? {
            inpaint: {
              blurX: inpaint?.blur ?? 4,
              blurY: inpaint?.blur ?? 4,
              fill: inpaint?.fill ?? 'original',
              invert: inpaint?.invert ?? false,
              ...(inpaint?.onlyMaskedPadding === undefined ? {} : { onlyMaskedPadding: inpaint.onlyMaskedPadding }),
            },
          }
        : {}),
    },
  };
}

/** The same caller with the same Idempotency-Key gets the same job, of which there is one. */
function idOf(owner: string, key: unknown): { readonly id?: string } {
  if (typeof key !== 'string' || key === '') return {};
  return { id: createHash('sha256').update(`${owner}\n${key}`).digest('hex').slice(0, 32) };
}

export const createJob = defineRoute({
  method: 'POST',
  path: '/api/v1/jobs',
  summary:
    'Accepts a job. It is kept when this answers, and made even if the server is killed. Send `Idempotency-Key` to be able to ask twice',
  flavour: 'own',
  body: jobBody,
  response: jobView,
  status: 202,
  async handle(context, { body, owner, signal, raw }) {
    const draft = await draftOf(context, body, signal);
    const job = await acceptJob(context, {
      owner,
      source: 'jobs',
      priority: body.priority,
      draft,
      ...idOf(owner, raw.headers['idempotency-key']),
    });
    return { json: viewOf(job), status: 202, headers: { location: `/api/v1/jobs/${job.id}` } };
  },
});
