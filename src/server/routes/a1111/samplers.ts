/** GET /sdapi/v1/samplers */

import * as z from 'zod';
import { a1111Samplers } from '../../../diffusion/sampler-names.ts';
import { defineRoute, json } from '../../http/route.ts';

export const samplers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/samplers',
  summary: 'The samplers',
  flavour: 'a1111',
  response: z.array(
    z.object({ name: z.string(), aliases: z.array(z.string()), options: z.record(z.string(), z.string()) }),
  ),
  handle: async () =>
    json(
      a1111Samplers.map(({ names: [name = '', ...aliases], schedule, discard }) => ({
        name,
        aliases,
        options: {
          ...(['normal', 'a1111', 'time_uniform'].includes(schedule) ? {} : { scheduler: schedule }),
          ...(discard ? { discard_next_to_last_sigma: 'True' } : {}),
        },
      })),
    ),
});
