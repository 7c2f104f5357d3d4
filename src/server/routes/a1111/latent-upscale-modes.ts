/** GET /sdapi/v1/latent-upscale-modes */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { latentModes } from './upscaler-table.ts';

export const latentUpscaleModes = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/latent-upscale-modes',
  summary: 'Upscaling methods of "hires. fix"',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string() })),
  handle: async () => json(Object.keys(latentModes).map((name) => ({ name }))),
});
