/** GET /sdapi/v1/upscalers */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { upscalerNames } from './upscaler-table.ts';

export const upscalers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/upscalers',
  summary: 'Upscaling methods',
  flavour: 'a1111',
  response: z.array(
    z.object({ name: z.string(), model_name: z.null(), model_path: z.null(), model_url: z.null(), scale: z.number() }),
  ),
  handle: async () =>
    json(
      Object.keys(upscalerNames).map((name) => ({
        name,
        model_name: null,
        model_path: null,
        model_url: null,
        scale: 4,
      })),
    ),
});
