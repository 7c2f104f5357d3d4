/** GET /api/v1/adapters: LoRAs and textual inversions with their sidecar files, for a page to choose from; and their preview pictures. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { readFileOf } from '../../../files/open-node.ts';
import { imageFormatOf } from '../../../image/codec/image-file.ts';
import { defineRoute, json } from '../../http/route.ts';
import type { AdapterCatalog } from '../../models/adapter-catalog.ts';
import type { Sidecar } from '../../models/sidecars.ts';

const kinds = ['lora', 'embedding'] as const;
type Kind = (typeof kinds)[number];

const shown = {
  name: z.string(),
  triggerWords: z.array(z.string()),
  preview: z.string().nullable(),
};

const previewOf = (base: string, kind: Kind, { name, preview }: Sidecar & { readonly name: string }): string | null =>
  preview === undefined ? null : `${base}/api/v1/adapters/preview?kind=${kind}&name=${encodeURIComponent(name)}`;

export const listAdapters = defineRoute({
  method: 'GET',
  path: '/api/v1/adapters',
  summary: 'LoRAs and textual inversions, with trigger words, advised strengths and previews',
  flavour: 'own',
  response: z.object({
    loras: z.array(z.object({ ...shown, alias: z.string().nullable(), preferredWeight: z.number().nullable() })),
    embeddings: z.array(z.object({ ...shown, vectors: z.int() })),
  }),
  handle: async ({ adapters, base }) =>
    json({
      loras: adapters.loras().map((lora) => ({
        name: lora.name,
        alias: lora.alias ?? null,
        triggerWords: lora.triggerWords,
        preferredWeight: lora.preferredWeight ?? null,
        preview: previewOf(base, 'lora', lora),
      })),
      embeddings: adapters.embeddings().map((embedding) => ({
        name: embedding.name,
        vectors: embedding.vectors,
        triggerWords: embedding.triggerWords,
        preview: previewOf(base, 'embedding', embedding),
      })),
    }),
});

const rowsOf = (adapters: AdapterCatalog, kind: Kind): readonly (Sidecar & { readonly name: string })[] =>
  kind === 'lora' ? adapters.loras() : adapters.embeddings();

export const adapterPreview = defineRoute({
  method: 'GET',
  path: '/api/v1/adapters/preview',
  summary: 'The preview picture of a LoRA or a textual inversion',
  flavour: 'own',
  query: z.object({ kind: z.enum(kinds), name: z.string().min(1).max(1000) }),
  responseType: 'image/png',
  async handle({ adapters }, { query }) {
    const found = rowsOf(adapters, query.kind).find(({ name }) => name === query.name);
    if (found?.preview === undefined) throw new StableDiffusionError('not-found', 'There is no preview of this name.');
    const bytes = await readFileOf('picture', found.preview);
    const format = imageFormatOf(bytes);
    // It lies in the operator's folder, but whoever made it may be anybody.
    if (format === undefined) throw new StableDiffusionError('not-found', 'The preview is not a picture.');
    return {
      bytes,
      mediaType: `image/${format}`,
      headers: {
        'cache-control': 'private, max-age=3600',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'",
      },
    };
  },
});
