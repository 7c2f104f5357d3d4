/** Shared parts of OpenAI's three image routes: fields to a job, and a job to an answer or a stream of partial pictures. */

import { StableDiffusionError } from '../../../errors.ts';
import { nodeImageCodec } from '../../../image/codec/codec-node.ts';
import { acceptJob, awaitJob } from '../../accept-job.ts';
import type { FieldNames, JobDraft } from '../../decide-job.ts';
import type { ServerContext } from '../../context.ts';
import { invalidField, problemOf } from '../../http/problem.ts';
import { problemAnswer } from '../../http/problem-shapes.ts';
import { type Answer, json, type RouteRequest, type ServerEvent } from '../../http/route.ts';
import { endingOf, isFinished, isPictureJob, type PictureJob, type ResultImage } from '../../job.ts';
import type { SharedFields } from './fields.ts';
import type { StoredPictures } from './picture-files.ts';

const fieldNames: FieldNames = {
  batchSize: 'n',
  width: 'size',
  height: 'size',
  negativePrompt: 'negative_prompt',
  guidanceScale: 'guidance_scale',
};

/** OpenAI's own models: clients that know no others get the default. */
const openaiModel = /^(dall-e-\d|gpt-image-[\w.-]+|chatgpt-image-[\w.-]+)$/;

/** The qualities, and the steps of each. */
const qualityOf = {
  auto: 'medium',
  low: 'low',
  medium: 'medium',
  standard: 'medium',
  high: 'high',
  hd: 'high',
} as const;
const stepsOf = { low: 10, medium: 20, high: 35 } as const;

export type EventPrefix = 'image_generation' | 'image_edit';

/** The part of a job that all three share. The default size is that of the initial picture. */
export function sharedDraft(
  body: SharedFields,
  task: JobDraft['task'],
  prompt: string,
  picture?: Pick<StoredPictures, 'width' | 'height'>,
): JobDraft {
  if (body.background === 'transparent')
    throw invalidField(['body', 'background'], 'Transparent backgrounds cannot be made here; use "opaque" or "auto".');
  const [width, height] =
    body.size && body.size !== 'auto' ? body.size.split('x').map(Number) : [picture?.width, picture?.height];
  return {
    task,
    prompt,
    model: body.model && !openaiModel.test(body.model) ? body.model : undefined,
    negativePrompt: body.negative_prompt ?? undefined,
    seed: body.seed ?? undefined,
    batchSize: body.n ?? 1,
    width,
    height,
    steps: body.steps ?? stepsOf[qualityOf[body.quality ?? 'auto']],
    sampler: body.sampler ?? 'DPM++ 2M',
    guidanceScale: body.guidance_scale ?? undefined,
    noise: 'a1111-cpu',
    format: { type: body.output_format ?? 'png', quality: Math.max(1, body.output_compression ?? 100) },
    previews: body.stream ? (body.partial_images ?? 0) : 0,
  };
}

/** The sizes OpenAI's clients may name, and others. */
const sizeOf = ({ request }: PictureJob): string => `${request.width}x${request.height}`;

/** Token counts are always 0. */
const usage = {
  input_tokens: 0,
  output_tokens: 0,
  total_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens_details: { image_tokens: 0, text_tokens: 0 },
};

async function encoded({ store }: ServerContext, image: ResultImage): Promise<string> {
  return Buffer.from((await store.get(image.id)) ?? []).toString('base64');
}

/** A preview, which is a JPEG, in the requested format. */
async function inFormat(preview: string, { type, quality }: PictureJob['request']['format']): Promise<string> {
  if (type === 'jpeg') return preview;
  const image = await nodeImageCodec.decode(new Uint8Array(Buffer.from(preview, 'base64')));
  return Buffer.from(
    await nodeImageCodec.encode(image, type === 'png' ? { format: type } : { format: type, quality }),
  ).toString('base64');
}

/** Fields of every event and answer. */
const facts = (job: PictureJob, body: SharedFields) => ({
  size: sizeOf(job),
  quality: qualityOf[body.quality ?? 'auto'],
  background: 'opaque',
  output_format: job.request.format.type,
});

function refuseFlagged(images: readonly ResultImage[]): void {
  if (images.length > 0 && images.every(({ flagged }) => flagged)) {
    throw new StableDiffusionError(
      'invalid-argument',
      'All pictures of this request were blocked by the safety checker.',
      {
        details: { name: 'moderation_blocked' },
      },
    );
  }
}

async function* streamed(
  context: ServerContext,
  job: PictureJob,
  body: SharedFields,
  prefix: EventPrefix,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void, void> {
  let partial = 0;
  const created = (): number => Math.floor(context.now() / 1000);
  try {
    for await (const event of context.watch.events(job, signal)) {
      if (event.kind === 'preview' && partial < job.request.previews) {
        const type = `${prefix}.partial_image`;
        yield {
          event: type,
          data: {
            type,
            b64_json: await inFormat(event.data, job.request.format),
            created_at: created(),
            partial_image_index: partial++,
            ...facts(job, body),
          },
        };
      }
      if (event.kind !== 'state' || !isFinished(event.job) || !isPictureJob(event.job)) continue;
      const done = await awaitJob(context, event.job, signal);
      refuseFlagged(done.result.images);
      for (const image of done.result.images) {
        const type = `${prefix}.completed`;
        yield {
          event: type,
          data: { type, b64_json: await encoded(context, image), created_at: created(), ...facts(job, body), usage },
        };
      }
    }
  } catch (error) {
    if (!signal.aborted)
      yield {
        event: 'error',
        data: { type: 'error', ...(problemAnswer('openai', problemOf(error, 1)).body as object) },
      };
  }
  if (signal.aborted) await context.queue.cancel(job.id);
}

/** Bytes that a request holds once its pictures are stored. */
const smallHold = 2 ** 16;

/** Accepts the job and answers, at once or as it goes. */
export async function answerImages(
  context: ServerContext,
  request: RouteRequest<SharedFields, unknown, unknown>,
  draft: JobDraft,
  prefix: EventPrefix,
): Promise<Answer> {
  const { owner, body, signal, origin, ticket } = request;
  if (body.stream) ticket.stream();
  ticket.hold(smallHold);
  const accepted = await acceptJob(context, { owner, source: 'openai', priority: 'normal', draft, fields: fieldNames });
  if (body.stream) return { events: streamed(context, accepted, body, prefix, signal) };
  const job = await awaitJob(context, accepted, signal);
  refuseFlagged(job.result.images);
  // As in OpenAI's API: dall-e answers with URLs by default, later models with the picture itself.
  const asUrl = body.response_format === 'url' || (body.response_format == null && /^dall-e/.test(body.model ?? ''));
  const data = await Promise.all(
    job.result.images.map(async (image) =>
      asUrl
        ? { url: origin + context.links.sign(image.id, endingOf(image)) }
        : { b64_json: await encoded(context, image) },
    ),
  );
  return json({ created: Math.floor(job.createdAt / 1000), data, ...facts(job, body), usage });
}
