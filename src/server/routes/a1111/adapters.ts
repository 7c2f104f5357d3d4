/** GET /sdapi/v1/loras, hypernetworks and embeddings, and the requests to rescan their folders. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { currentModel } from './option-table.ts';

export const loras = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/loras',
  summary: 'LoRAs, for `<lora:NAME:0.8>` in prompts',
  flavour: 'a1111',
  response: z.array(
    z.object({ name: z.string(), alias: z.string(), path: z.string(), metadata: z.record(z.string(), z.unknown()) }),
  ),
  handle: async ({ adapters }) =>
    json(
      adapters.loras().map(({ name, file, alias, metadata }) => ({ name, alias: alias ?? name, path: file, metadata })),
    ),
});

export const hypernetworks = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/hypernetworks',
  summary: 'Hypernetworks, for `<hypernet:NAME:1>` in prompts',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string(), path: z.string() })),
  handle: async ({ adapters }) => json(adapters.hypernetworks().map(({ name, file }) => ({ name, path: file }))),
});

const embedding = z.object({
  step: z.null(),
  sd_checkpoint: z.null(),
  sd_checkpoint_name: z.null(),
  shape: z.int(),
  vectors: z.int(),
});

export const embeddings = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/embeddings',
  summary:
    'Textual inversions; their names are words in prompts. Those for another family than the chosen model’s are under `skipped`',
  flavour: 'a1111',
  response: z.object({ loaded: z.record(z.string(), embedding), skipped: z.record(z.string(), embedding) }),
  async handle(context, { owner }) {
    // Of a model that cannot be read, whoever uses it gets the error.
    const facts = await context.models.facts(currentModel(context, owner).name).catch(() => undefined);
    const rows = (fit: boolean) =>
      context.adapters
        .embeddings()
        .filter(({ width }) => (width === facts?.embeddingWidth) === fit)
        .map(({ name, vectors, width }) => [
          name,
          { step: null, sd_checkpoint: null, sd_checkpoint_name: null, shape: width, vectors },
        ]);
    return json({ loaded: Object.fromEntries(rows(true)), skipped: Object.fromEntries(rows(false)) });
  },
});

const refresh = (name: string, what: string) =>
  defineRoute({
    method: 'POST',
    path: `/sdapi/v1/${name}`,
    summary: `Rescans the folder of ${what}; loaded models are unchanged`,
    flavour: 'a1111',
    response: z.null(),
    async handle({ adapters }) {
      await adapters.refresh();
      return json(null);
    },
  });

export const refreshLoras = refresh('refresh-loras', 'LoRAs');
export const refreshEmbeddings = refresh('refresh-embeddings', 'textual inversions');
