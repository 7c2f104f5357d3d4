/**
 * POST /v1beta/models/MODEL:generateContent and MODEL:predict: pictures as Google's Gemini and Imagen give them (ai.google.dev/api), for clients
 * that know no other API, such as Open WebUI's engine "Gemini". A picture among the parts is changed by the text.
 */

import type { CheckpointFacts } from '../../../model/checkpoint-facts.ts';
import * as z from 'zod';
import { plainSeedSchema } from '../../../generation/fields.ts';
import { boundedList } from '../../admission/bounded-list.ts';
import { acceptJob, awaitJob } from '../../accept-job.ts';
import type { ServerContext } from '../../context.ts';
import type { FieldNames, JobDraft } from '../../decide-job.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { readPicture, storePicture } from '../../http/picture-input.ts';
import { type Answer, defineRoute, json, type RouteRequest } from '../../http/route.ts';
import type { ResultImage } from '../../job.ts';

const ratio = z.string().regex(/^\d{1,4}:\d{1,4}$/, 'must be a ratio such as 16:9');
const count = z.int().min(1).max(8);
const blob = z.object({ data: z.string(), mimeType: z.string().optional(), mime_type: z.string().optional() });
const part = z.object({ text: z.string().optional(), inlineData: blob.optional(), inline_data: blob.optional() });
const content = z.object({ role: z.string().optional(), parts: boundedList(part, 16) });

/** Of both methods; each reads its own. */
const body = z.object({
  contents: z.union([boundedList(content, 64), content]).optional(),
  generationConfig: z
    .object({
      candidateCount: count.optional(),
      seed: plainSeedSchema.optional(),
      aspectRatio: ratio.optional(),
      imageConfig: z.object({ aspectRatio: ratio.optional() }).optional(),
    })
    .optional(),
  instances: z.union([boundedList(z.object({ prompt: z.string() }), 1), z.object({ prompt: z.string() })]).optional(),
  parameters: z
    .object({
      sampleCount: count.optional(),
      seed: plainSeedSchema.optional(),
      aspectRatio: ratio.optional(),
      negativePrompt: z.string().optional(),
      guidanceScale: z.number().optional(),
      outputOptions: z
        .object({
          mimeType: z.enum(['image/png', 'image/jpeg', 'image/webp']).optional(),
          compressionQuality: z.int().min(1).max(100).optional(),
        })
        .optional(),
    })
    .optional(),
});
type Body = z.output<typeof body>;

const fields: FieldNames = { prompt: 'contents', batchSize: 'generationConfig.candidateCount', seed: 'seed' };

/** Google's own models: clients that know no others get the default. */
const googleModel = /^(gemini|imagen)-[\w.-]+$/;

/** Sides of a ratio with about as many pixels as the model's own size. */
function sizeOf(given: string | undefined, { nativeSize, unit }: CheckpointFacts): { width?: number; height?: number } {
  if (given === undefined) return {};
  const [wide = 1, high = 1] = given.split(':').map(Number);
  if (wide === 0 || high === 0) throw invalidField(['body', 'aspectRatio'], 'must be a ratio such as 16:9');
  const side = (share: number): number => Math.max(unit, Math.round((nativeSize * Math.sqrt(share)) / unit) * unit);
  return { width: side(wide / high), height: side(high / wide) };
}

type Request = RouteRequest<Body, unknown, { readonly call: string }>;

async function contentDraft(context: ServerContext, { body: given, ...caller }: Request): Promise<Partial<JobDraft>> {
  const contents =
    given.contents === undefined ? [] : Array.isArray(given.contents) ? given.contents : [given.contents];
  const parts = contents.at(-1)?.parts ?? [];
  const prompt = parts.flatMap(({ text }) => (text === undefined ? [] : [text])).join('\n');
  if (prompt === '') throw invalidField(['body', 'contents'], 'Give a part with a text.');
  const [picture] = parts.flatMap(({ inlineData, inline_data }) => inlineData ?? inline_data ?? []);
  const { candidateCount, seed } = given.generationConfig ?? {};
  const shared = { prompt, batchSize: candidateCount, seed };
  if (!picture) return { task: 'txt2img', ...shared };
  const image = await atField(['body', 'contents'], async () =>
    storePicture(context, await readPicture(context, picture.data, caller.signal), caller),
  );
  const { width, height } = image;
  return { task: 'img2img', ...shared, image: image.id, width, height, strength: 0.75, resizeMode: 'stretch' };
}

function predictDraft({ instances, parameters = {} }: Body): Partial<JobDraft> {
  const [first] = Array.isArray(instances) ? instances : [instances];
  if (!first) throw invalidField(['body', 'instances'], 'Give an instance with a prompt.');
  const { sampleCount, seed, negativePrompt, guidanceScale, outputOptions } = parameters;
  const type = outputOptions?.mimeType?.slice('image/'.length) as 'png' | 'jpeg' | 'webp' | undefined;
  return {
    task: 'txt2img',
    prompt: first.prompt,
    batchSize: sampleCount,
    seed,
    negativePrompt,
    guidanceScale,
    ...(type ? { format: { type, quality: outputOptions?.compressionQuality ?? 90 } } : {}),
  };
}

async function answer(context: ServerContext, request: Request): Promise<Answer> {
  const { owner, signal, ticket, params, body: given } = request;
  const [name = '', method] = params.call.split(/:(?=[^:]*$)/);
  if (method !== 'generateContent' && method !== 'predict')
    throw invalidField(['path', 'call'], 'The method must be generateContent or predict.');
  const model = googleModel.test(name) ? undefined : name;
  const entry = await atField(['path', 'call'], () => context.catalog.find(model));
  const isPredict = method === 'predict';
  const draft = isPredict ? predictDraft(given) : await contentDraft(context, request);
  const { generationConfig: config } = given;
  const asked = isPredict ? given.parameters?.aspectRatio : (config?.imageConfig?.aspectRatio ?? config?.aspectRatio);
  const size = sizeOf(asked, await context.models.facts(entry.name));
  ticket.hold(2 ** 16);
  const accepted = await acceptJob(context, {
    owner,
    source: 'gemini',
    priority: 'normal',
    draft: { task: 'txt2img', prompt: '', sampler: 'DPM++ 2M', ...draft, ...size, model: entry.name },
    fields,
  });
  const { result } = await awaitJob(context, accepted, signal);
  const dataOf = async ({ id }: ResultImage): Promise<string> =>
    Buffer.from((await context.store.get(id)) ?? []).toString('base64');
  const pictures = await Promise.all(
    result.images.map(async (image) => ({
      mimeType: image.mediaType,
      data: await dataOf(image),
      flagged: image.flagged,
    })),
  );
  if (isPredict)
    return json({
      predictions: pictures.map(({ mimeType, data, flagged }) =>
        flagged
          ? { raiFilteredReason: 'The safety checker blocked this picture.' }
          : { mimeType, bytesBase64Encoded: data },
      ),
    });
  return json({
    candidates: pictures.map(({ mimeType, data, flagged }, index) => ({
      index,
      finishReason: flagged ? 'IMAGE_SAFETY' : 'STOP',
      content: { role: 'model', parts: flagged ? [] : [{ inlineData: { mimeType, data } }] },
    })),
    usageMetadata: { promptTokenCount: 0, candidatesTokenCount: 0, totalTokenCount: 0 },
    modelVersion: entry.name,
  });
}

export const geminiImages = defineRoute({
  method: 'POST',
  path: '/v1beta/models/:call',
  summary: 'MODEL:generateContent or MODEL:predict: pictures from a text, or from a picture and a text',
  flavour: 'gemini',
  params: z.object({ call: z.string().min(1) }),
  body,
  takesPictures: true,
  response: z.object({
    candidates: z.array(z.record(z.string(), z.unknown())).optional(),
    predictions: z.array(z.record(z.string(), z.unknown())).optional(),
    usageMetadata: z.record(z.string(), z.unknown()).optional(),
    modelVersion: z.string().optional(),
  }),
  handle: answer,
});

const geminiModel = z.object({
  name: z.string(),
  displayName: z.string(),
  supportedGenerationMethods: z.array(z.string()),
});

export const geminiModels = defineRoute({
  method: 'GET',
  path: '/v1beta/models',
  summary: 'The models',
  flavour: 'gemini',
  response: z.object({ models: z.array(geminiModel) }),
  handle: async ({ catalog }) =>
    json({
      models: catalog.list().map(({ name }) => ({
        name: `models/${name}`,
        displayName: name,
        supportedGenerationMethods: ['generateContent', 'predict'],
      })),
    }),
});
