/** GET /sdapi/v1/sd-models. A1111 gives paths here; this gives file names, and says of each model what it is and can make. */

import * as z from 'zod';
import { describedFields, describedModel } from '../../models/described-models.ts';
import { defineRoute, json } from '../../http/route.ts';

export const sdModels = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/sd-models',
  summary: 'The models',
  flavour: 'a1111',
  response: z.array(
    z.object({
      title: z.string(),
      model_name: z.string(),
      hash: z.string().nullable(),
      sha256: z.string().nullable(),
      filename: z.string(),
      config: z.null(),
      ...describedFields,
    }),
  ),
  handle: async (context) => {
    const rows = context.catalog.list().map(async ({ title, name, file, sha256 }) => ({
      title,
      model_name: name,
      hash: sha256?.slice(0, 10) ?? null,
      sha256,
      filename: file,
      config: null,
      ...(await describedModel(context, name)),
    }));
    return json(await Promise.all(rows));
  },
});
