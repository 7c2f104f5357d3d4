/** Lists of A1111 that are empty here. */

import * as z from 'zod';
import { defineRoute, json, type Route } from '../../http/route.ts';

const lists: readonly (readonly [path: string, summary: string, value: unknown])[] = [
  ['realesrgan-models', 'Real-ESRGAN upscalers', []],
  ['extensions', 'Extensions', []],
];

export const nothingHere: readonly Route[] = lists.map(([name, summary, value]) =>
  defineRoute({
    method: 'GET',
    path: `/sdapi/v1/${name}`,
    summary: `${summary} (always empty)`,
    flavour: 'a1111',
    response: z.unknown(),
    handle: async () => json(value),
  }),
);
