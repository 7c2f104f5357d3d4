/** POST /sdapi/v1/png-info: the settings in a picture. */

import { z } from 'zod';
import { inspectImageFile } from '../../../image/codec/image-file.ts';
import { readImageMetadata } from '../../../image/metadata/image-metadata.ts';
import { parseInfotext } from '../../../image/metadata/infotext.ts';
import { atField } from '../../http/problem.ts';
import { readPicture } from '../../http/picture-input.ts';
import { defineRoute, json } from '../../http/route.ts';

export const pngInfo = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/png-info',
  summary: 'Reads the settings from a picture',
  flavour: 'a1111',
  body: z.object({ image: z.string() }),
  response: z.object({
    info: z.string(),
    items: z.record(z.string(), z.unknown()),
    parameters: z.record(z.string(), z.unknown()),
  }),
  async handle(context, { body, signal }) {
    const found = await atField(['body', 'image'], async () => {
      const bytes = await readPicture(context, body.image.trim(), signal);
      inspectImageFile(bytes, context.limits.inputPixels);
      return readImageMetadata(bytes);
    });
    const info = found.parameters ?? '';
    const items = {
      ...Object.fromEntries(found.texts),
      ...(found.parameters === undefined ? {} : { parameters: found.parameters }),
    };
    return json({ info, items, parameters: info === '' ? {} : parseInfotext(info) });
  },
});
