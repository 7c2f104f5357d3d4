/** GET /api/v1/gallery: the caller's pictures in the server's output folder, newest first; and the pictures, also small. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { imageFormatOf } from '../../../image/codec/image-file.ts';
import { defineRoute, json } from '../../http/route.ts';

export const gallery = defineRoute({
  method: 'GET',
  path: '/api/v1/gallery',
  summary: "The caller's pictures in the server's output folder, newest first; none without --outdir",
  flavour: 'own',
  query: z.object({
    before: z.string().max(100).optional(),
    limit: z.coerce.number().int().min(1).max(200).default(50),
  }),
  response: z.object({
    pictures: z.array(
      z.object({ name: z.string(), time: z.string(), bytes: z.int(), url: z.string(), thumbnail: z.string() }),
    ),
    next: z.string().nullable(),
    isKept: z.boolean().describe('whether the server has an output folder'),
  }),
  async handle({ outputs, base }, { owner, query }) {
    const found = (await outputs?.list(owner, query)) ?? [];
    const urlOf = (name: string): string => `${base}/api/v1/gallery/picture?name=${encodeURIComponent(name)}`;
    return json({
      pictures: found.map(({ name, time, bytes }) => ({
        name,
        time: new Date(time).toISOString(),
        bytes,
        url: urlOf(name),
        thumbnail: `${urlOf(name)}&small=true`,
      })),
      next: found.length === query.limit ? (found.at(-1)?.name ?? null) : null,
      isKept: outputs !== undefined,
    });
  },
});

export const galleryPicture = defineRoute({
  method: 'GET',
  path: '/api/v1/gallery/picture',
  summary: 'A picture of the output folder, whole or as a thumbnail of at most 320 pixels',
  flavour: 'own',
  query: z.object({ name: z.string().min(1).max(100), small: z.stringbool().default(false) }),
  responseType: 'image/png',
  async handle({ outputs, pictures }, { owner, query, signal }) {
    const whole = await outputs?.read(owner, query.name);
    if (!whole) throw new StableDiffusionError('not-found', 'The output folder has no picture of this name.');
    const bytes = query.small ? await pictures.run('thumbnail', { bytes: whole }, { owner, signal }) : whole;
    return {
      bytes,
      mediaType: `image/${imageFormatOf(bytes) ?? 'png'}`,
      headers: {
        'cache-control': 'private, max-age=86400',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'",
      },
    };
  },
});
