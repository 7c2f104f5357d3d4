/** POST /sdapi/v1/interrogate: words for a picture. There is no network for it here, and the answer says so. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { defineRoute } from '../../http/route.ts';

export const interrogate = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/interrogate',
  summary: 'Refused: this server has no network that describes pictures',
  flavour: 'a1111',
  body: z.object({ image: z.string().optional(), model: z.string().max(200).default('clip') }),
  response: z.object({ caption: z.string() }),
  async handle(_context, { body }) {
    throw new StableDiffusionError(
      'not-found',
      `Model not found: this server has no network that describes pictures, and so none called ${JSON.stringify(body.model)}.`,
    );
  },
});
