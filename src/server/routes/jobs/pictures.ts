/** POST /api/v1/pictures: stores an initial picture, for jobs to refer to by its id. */

import * as z from 'zod';
import { atField, invalidField } from '../../http/problem.ts';
import { readPicture, storePicture } from '../../http/picture-input.ts';
import { type FormPart, defineRoute, json } from '../../http/route.ts';

const form = (parts: readonly FormPart[]): unknown => ({
  image: parts.flatMap((part) => ('bytes' in part ? [part.bytes] : []))[0],
});

export const storePictureRoute = defineRoute({
  method: 'POST',
  path: '/api/v1/pictures',
  summary: 'Stores a picture; jobs refer to it by the returned id',
  flavour: 'own',
  takesPictures: true,
  body: z.object({ image: z.union([z.string().min(1), z.instanceof(Uint8Array)]) }),
  form,
  response: z.object({ id: z.string() }),
  status: 201,
  async handle(context, { body, owner, signal }) {
    const id = await atField(['body', 'image'], async () => {
      const bytes = typeof body.image === 'string' ? await readPicture(context, body.image, signal) : body.image;
      if (bytes.length === 0) throw invalidField(['body', 'image'], 'The file is empty.');
      return (await storePicture(context, bytes, { owner, signal })).id;
    });
    return json({ id }, 201);
  },
});
