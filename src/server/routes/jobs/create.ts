/** POST /api/v1/jobs */

import { createHash } from 'node:crypto';
import { namedSampling, samplerPeerOf } from '../../../diffusion/sampler-names.ts';
import { acceptJob } from '../../accept-job.ts';
import type { JobDraft } from '../../decide-job.ts';
import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { type Caller, readPicture, storePicture } from '../../http/picture-input.ts';
import { defineRoute } from '../../http/route.ts';
import { StableDiffusionError } from '../../../errors.ts';
import { checkWebhook } from '../../webhook.ts';
import type * as z from 'zod';
import { jobBody, jobView, viewOf } from './job-body.ts';
import { controlsOf } from './job-controls.ts';

/** The second pass, with names that exist. */
async function hiresOf(
  context: ServerContext,
  hires: z.output<typeof jobBody>['hires'],
  { sampler: first = 'Euler a', noise = 'a1111-cpu' }: z.output<typeof jobBody>,
): Promise<JobDraft['hires']> {
  if (!hires) return undefined;
  const { scale, width = 0, height = 0, model, ...same } = hires;
  const sides = width > 0 || height > 0;
  if (sides && scale !== undefined) throw invalidField(['body', 'hires', 'scale'], 'send scale, or width and height');
  const { sampler = first, schedule } = same;
  await atField(['body', 'hires', same.sampler === undefined ? 'schedule' : 'sampler'], () =>
    namedSampling(sampler, { peer: samplerPeerOf(noise), schedule }),
  );
  return {
    ...same,
    asked: sides ? { width, height } : { scale: scale ?? 2 },
    // A1111's name of the filter, for the text under the picture.
    upscalerName: `${same.upscaler[0]?.toUpperCase()}${same.upscaler.slice(1)}`,
    model:
      model === undefined
        ? undefined
        : (await atField(['body', 'hires', 'model'], () => context.catalog.find(model))).name,
  };
}

async function draftOf(context: ServerContext, body: z.output<typeof jobBody>, caller: Caller): Promise<JobDraft> {
  const stored = async (field: 'image' | 'mask'): Promise<string | undefined> => {
    const text = body[field];
    return text === undefined
      ? undefined
      : atField(
          ['body', field],
          async () => (await storePicture(context, await readPicture(context, text, caller.signal), caller)).id,
        );
  };
  const {
    task: named,
    kind,
    variation,
    inpaint,
    hires,
    priority: _priority,
    image: _image,
    mask: _mask,
    control,
    imagePrompts,
    ...same
  } = body;
  if (named !== undefined && kind !== undefined && named !== kind)
    throw invalidField(['body', 'kind'], 'kind is a deprecated name of task; send task only');
  const task = named ?? kind ?? 'txt2img';
  if (task !== 'txt2img' && body.image === undefined)
    throw invalidField(['body', 'image'], `A job of task ${task} needs an image.`);
  if (task === 'inpaint' && body.mask === undefined)
    throw invalidField(['body', 'mask'], 'A job of task inpaint needs a mask.');
  if (task !== 'txt2img' && hires)
    throw invalidField(['body', 'hires'], `hires is for task txt2img; the task is ${task}`);
  const { webhook } = body;
  if (webhook !== undefined) {
    if (!context.webhooks)
      throw new StableDiffusionError(
        'forbidden',
        'This server calls no webhooks. Its operator can allow them with --webhooks.',
      );
    await atField(['body', 'webhook'], () => checkWebhook(webhook));
  }
  const enlarged = await hiresOf(context, hires, body);
  const [image, mask] = [await stored('image'), await stored('mask')];
  const {
    blur = 4,
    fill = 'original',
    invert = false,
    onlyMaskedPadding,
    soft,
    round = soft ? false : undefined,
  } = inpaint ?? {};
  return {
    ...same,
    task,
    image,
    mask,
    ...(await controlsOf(context, { control, imagePrompts }, caller)),
    hires: enlarged,
    subseed: variation?.seed ?? body.noiseSettings?.subseed,
    ...(variation ? { subseedStrength: variation.strength } : {}),
    ...(task === 'inpaint'
      ? { inpaint: { blurX: blur, blurY: blur, fill, invert, onlyMaskedPadding, round, soft } }
      : {}),
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The same caller with the same Idempotency-Key gets the same job; another body with it is an error. */
function keyed(owner: string, key: unknown, body: unknown): { readonly id?: string; readonly bodyDigest?: string } {
  if (typeof key !== 'string' || key === '') return {};
  const text = JSON.stringify(body, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  return { id: sha256(`${owner}\n${key}`).slice(0, 32), bodyDigest: sha256(text) };
}

export const createJob = defineRoute({
  method: 'POST',
  path: '/api/v1/jobs',
  summary:
    'Accepts a job. A 202 response means the job is on disk: it is completed even if the server is killed. With an `Idempotency-Key` the same request can be sent twice; another body with it gets 422',
  flavour: 'own',
  body: jobBody,
  takesPictures: true,
  response: jobView,
  status: 202,
  async handle(context, { body, owner, signal, raw }) {
    const draft = await draftOf(context, body, { owner, signal });
    const job = await acceptJob(context, {
      owner,
      source: 'jobs',
      priority: body.priority,
      draft,
      ...keyed(owner, raw.headers['idempotency-key'], body),
    });
    return { json: viewOf(context, job), status: 202, headers: { location: `${context.base}/api/v1/jobs/${job.id}` } };
  },
});
