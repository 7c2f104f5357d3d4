/** POST /sdapi/v1/png-info: the settings in a picture. */

import * as z from 'zod';
import { atField } from '../../http/problem.ts';
import { readPicture } from '../../http/picture-input.ts';
import { defineRoute, json } from '../../http/route.ts';

export const pngInfo = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/png-info',
  summary: 'Reads the settings from a picture',
  flavour: 'a1111',
  body: z.object({ image: z.string() }),
  takesPictures: true,
  response: z.object({
    info: z.string(),
    items: z.record(z.string(), z.unknown()),
    parameters: z.record(z.string(), z.unknown()),
  }),
  handle: async (context, { body, owner, signal }) =>
    json(
      await atField(['body', 'image'], async () => {
        const bytes = await readPicture(context, body.image.trim(), signal);
        return context.pictures.run('settings', { bytes }, { owner, signal });
      }),
    ),
});
