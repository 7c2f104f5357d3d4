/** GET /api/v1/results/:name: a stored picture, by the SHA-256 of its file. With a signed link no key is needed. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { imageFormatOf } from '../../../image/codec/image-file.ts';
import type { ServerContext } from '../../context.ts';
import { type Answer, defineRoute } from '../../http/route.ts';

const params = z.object({
  name: z.string().regex(/^[0-9a-f]{64}(\.(png|jpg|jpeg|webp))?$/, 'must be the id of a picture'),
});

const linkQuery = z.object({ expires: z.string().optional(), signature: z.string().optional() });

async function answerPicture({ store }: ServerContext, id: string): Promise<Answer> {
  const bytes = await store.get(id);
  if (!bytes) throw new StableDiffusionError('not-found', 'No picture has this id.');
  const format = imageFormatOf(bytes) ?? 'png';
  // The name is the content: it never changes.
  return {
    bytes,
    mediaType: `image/${format}`,
    headers: {
      'cache-control': 'private, max-age=31536000, immutable',
      etag: `"${id}"`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'",
    },
  };
}

export const getResult = defineRoute({
  method: 'GET',
  path: '/api/v1/results/:name',
  summary: 'A generated picture',
  flavour: 'own',
  params,
  query: linkQuery,
  responseType: 'image/png',
  handle: (context, { params: { name } }) => answerPicture(context, name.slice(0, 64)),
});
