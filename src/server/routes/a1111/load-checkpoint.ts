/** POST /sdapi/v1/unload-checkpoint and reload-checkpoint: models come and go by themselves here. */

import { z } from 'zod';
import { defineRoute, json } from '../../http/route.ts';

const accepted = (name: string) =>
  defineRoute({
    method: 'POST',
    path: `/sdapi/v1/${name}`,
    summary: 'Accepted; the server loads and drops models by itself',
    flavour: 'a1111',
    response: z.object({}),
    handle: async () => json({}),
  });

export const unloadCheckpoint = accepted('unload-checkpoint');
export const reloadCheckpoint = accepted('reload-checkpoint');
