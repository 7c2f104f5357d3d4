/** `/object_info`: the nodes, with their inputs and outputs. */

import * as z from 'zod';
import { printExactJson } from '../../../formats/exact-json.ts';
import { nodeInfo, objectInfo } from '../../../workflow/object-info.ts';
import { comfyRoute } from './define.ts';
import { rawJson } from './raw-json.ts';

const all = comfyRoute({
  method: 'GET',
  path: '/object_info',
  summary: 'All nodes',
  response: z.unknown(),
  handle: async ({ comfyui }, { owner }) =>
    rawJson(printExactJson(objectInfo(comfyui.nodes, await comfyui.listsOf(owner)))),
});

const one = comfyRoute({
  method: 'GET',
  path: '/object_info/:name',
  summary: 'One node; empty for one that is not there',
  params: z.object({ name: z.string() }),
  response: z.unknown(),
  async handle({ comfyui }, { owner, params: { name } }) {
    const node = comfyui.nodes.get(name);
    return rawJson(node ? printExactJson({ [name]: nodeInfo(node, await comfyui.listsOf(owner)) }) : '{}');
  },
});

export const objectInfoRoutes = [...all, ...one];
