/** GET /sdapi/v1/sd-vae and POST /sdapi/v1/refresh-vae: the separate autoencoders, for the option `sd_vae`. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const sdVae = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/sd-vae',
  summary: 'The separate autoencoders',
  flavour: 'a1111',
  response: z.array(z.object({ model_name: z.string(), filename: z.string() })),
  handle: async ({ vaes }) => json(vaes.list().map(({ name, file }) => ({ model_name: name, filename: file }))),
});

export const refreshVae = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/refresh-vae',
  summary: 'Looks again for separate autoencoders',
  flavour: 'a1111',
  response: z.unknown(),
  async handle({ vaes }) {
    await vaes.refresh();
    return json(null);
  },
});
