/** Lists of A1111 that are empty here, and requests to look again that have nothing to look for. */

import * as z from 'zod';
import { defineRoute, json, type Route } from '../../http/route.ts';

const lists: readonly (readonly [path: string, summary: string, value: unknown])[] = [
  ['sd-vae', 'Separate autoencoders', []],
  ['realesrgan-models', 'Real-ESRGAN upscalers', []],
  ['extensions', 'Extensions', []],
];

const refreshes = ['refresh-vae'] as const;

export const nothingHere: readonly Route[] = [
  ...lists.map(([name, summary, value]) =>
    defineRoute({
      method: 'GET',
      path: `/sdapi/v1/${name}`,
      summary: `${summary} (always empty)`,
      flavour: 'a1111',
      response: z.unknown(),
      handle: async () => json(value),
    }),
  ),
  ...refreshes.map((name) =>
    defineRoute({
      method: 'POST',
      path: `/sdapi/v1/${name}`,
      summary: 'Accepted; has no effect',
      flavour: 'a1111',
      response: z.unknown(),
      handle: async () => json(null),
    }),
  ),
];
