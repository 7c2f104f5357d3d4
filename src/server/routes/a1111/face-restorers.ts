/** GET /sdapi/v1/face-restorers */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { canRestoreFaces, faceRestorerName } from '../../models/face-networks.ts';

export const faceRestorers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/face-restorers',
  summary: 'Face restorers: CodeFormer, if the server has its networks',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string(), cmd_dir: z.string().nullable() })),
  async handle({ controls }) {
    return json(canRestoreFaces(controls) ? [{ name: faceRestorerName, cmd_dir: null }] : []);
  },
});
