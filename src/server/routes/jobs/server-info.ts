/** GET /api/v1/server: what this server has and allows, for pages and clients. */

import * as z from 'zod';
import { a1111Samplers } from '../../../diffusion/sampler-names.ts';
import { defineRoute, json } from '../../http/route.ts';
import { modelRows, usableModel } from './models.ts';

export const serverInfo = defineRoute({
  method: 'GET',
  path: '/api/v1/server',
  summary: 'Version, models, samplers and limits',
  flavour: 'own',
  response: z.object({
    version: z.string(),
    models: z.array(z.object(usableModel)),
    samplers: z.array(z.string()),
    limits: z.record(z.string(), z.number()),
    policy: z.object({
      safety: z.boolean(),
      watermark: z.boolean(),
      fetchUrls: z.boolean(),
      webhooks: z.enum(['off', 'public', 'private']),
    }),
    queue: z.object({ queued: z.int(), running: z.int() }),
  }),
  async handle(context) {
    const { limits, policy, queue, version, log } = context;
    const rows = await modelRows(context);
    for (const { name, unusable } of rows)
      if (unusable !== undefined) log.warn({ model: name, err: unusable }, 'a model in the folder cannot be used');
    return json({
      version,
      models: rows.flatMap(({ facts }) => facts ?? []),
      samplers: a1111Samplers.map(({ names: [name = ''] }) => name),
      limits,
      policy,
      queue: await queue.counts(),
    });
  },
});
