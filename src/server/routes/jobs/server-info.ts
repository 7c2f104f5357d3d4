/** GET /api/v1/server: what this server has and allows, for pages and clients. */

import * as z from 'zod';
import { a1111Samplers } from '../../../diffusion/sampler-names.ts';
import { tasks } from '../../../generation/request.ts';
import { defineRoute, json } from '../../http/route.ts';

export const serverInfo = defineRoute({
  method: 'GET',
  path: '/api/v1/server',
  summary: 'Version, models, samplers and limits',
  flavour: 'own',
  response: z.object({
    version: z.string(),
    models: z.array(
      z.object({
        name: z.string(),
        sha256: z.string().nullable(),
        size: z.int(),
        unit: z.int(),
        family: z.string(),
        tasks: z.array(z.enum(tasks)),
        readsPromptSyntax: z.boolean(),
        recommended: z.record(z.string(), z.unknown()),
        isDefault: z.boolean(),
      }),
    ),
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
  async handle({ catalog, models, limits, policy, queue, version, log }) {
    const first = catalog.find(undefined).name;
    const described = await Promise.all(
      catalog.list().map(async ({ name, sha256 }) => {
        try {
          const { nativeSize, ...facts } = await models.facts(name);
          const { unit, family, readsPromptSyntax, recommended } = facts;
          const own = { family, tasks: [...facts.tasks], readsPromptSyntax, recommended };
          return [{ name, sha256, size: nativeSize, unit, ...own, isDefault: name === first }];
        } catch (error) {
          log.warn({ model: name, err: error }, 'a model in the folder cannot be used');
          return [];
        }
      }),
    );
    return json({
      version,
      models: described.flat(),
      samplers: a1111Samplers.map(({ names: [name = ''] }) => name),
      limits,
      policy,
      queue: await queue.counts(),
    });
  },
});
