/** `/object_info`: the nodes, with their inputs and outputs. */

import { setImmediate as othersTurn } from 'node:timers/promises';
import * as z from 'zod';
import { printExactJson } from '../../../formats/exact-json.ts';
import type { NodeTable } from '../../../workflow/definition.ts';
import type { NameLists } from '../../../workflow/input-spec.ts';
import { nodeInfo } from '../../../workflow/object-info.ts';
import { createPlaces } from '../../admission/places.ts';
import { comfyRoute } from './define.ts';
import { rawJson } from './raw-json.ts';

/** For printing all nodes, more than a megabyte: one request of a caller at a time. */
const printing = createPlaces(1);

/** Nodes that are printed between the turns of others. */
const slice = 32;

async function printedNodes(nodes: NodeTable, lists: NameLists): Promise<string> {
  const printed: string[] = [];
  for (const [name, node] of nodes) {
    printed.push(printExactJson({ [name]: nodeInfo(node, lists) }).slice(1, -1));
    if (printed.length % slice === 0) await othersTurn();
  }
  return `{${printed.join(',')}}`;
}

const all = comfyRoute({
  method: 'GET',
  path: '/object_info',
  summary: 'All nodes',
  response: z.unknown(),
  handle: ({ comfyui }, { owner }) =>
    printing.run(owner, async () => rawJson(await printedNodes(comfyui.nodes, await comfyui.listsOf(owner)))),
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
