/** GET /sdapi/v1/schedulers */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { schedulerRows } from '../../../diffusion/sampler-labels.ts';

export const schedulers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/schedulers',
  summary: 'The noise schedules',
  flavour: 'a1111',
  response: z.array(
    z.object({
      name: z.string(),
      label: z.string(),
      aliases: z.array(z.string()).nullable(),
      default_rho: z.number(),
      need_inner_model: z.boolean(),
    }),
  ),
  handle: async () =>
    json(
      schedulerRows.map(([name, label, defaultRho = -1, needsModel = false, aliases]) => ({
        name,
        label,
        aliases: aliases ?? null,
        default_rho: defaultRho,
        need_inner_model: needsModel,
      })),
    ),
});
