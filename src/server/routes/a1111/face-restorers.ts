/** GET /sdapi/v1/face-restorers */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { faceRestorersOf } from '../../models/face-networks.ts';

export const faceRestorers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/face-restorers',
  summary: 'Face restorers of which the server has the networks: CodeFormer, GFPGAN, RestoreFormer',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string(), cmd_dir: z.string().nullable() })),
  async handle({ controls }) {
    return json(faceRestorersOf(controls).map((name) => ({ name, cmd_dir: null })));
  },
});
