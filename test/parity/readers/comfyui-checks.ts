/** ComfyUI's descriptions of its nodes, and its answers to graphs that it refuses. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  type ExactJson,
  type ExactObject,
  isExactObject,
  parseExactJson,
  printExactJson,
} from '../../../src/formats/exact-json.ts';
import type { FolderKind } from '../../../src/workflow/folder-kinds.ts';
import { apiGraph } from '../../../src/workflow/graph.ts';
import type { NameLists } from '../../../src/workflow/input-spec.ts';
import { nodes } from '../../../src/workflow/nodes/index.ts';
import { nodeInfo } from '../../../src/workflow/object-info.ts';
import { validateWorkflow } from '../../../src/workflow/validate.ts';
import { collecting } from '../comparisons.ts';
import type { Reader, RecordedCase } from '../reader.ts';

/** Keys in one order, and the errors of a node, whose order is a set's. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(ordered);
    const areErrors = items.every((item) => isExactObject(item) && 'extra_info' in item);
    return areErrors ? items.sort((a, b) => (printExactJson(a) < printExactJson(b) ? -1 : 1)) : items;
  }
  if (!isExactObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .filter((key) => key !== 'traceback')
      .map((key) => [key, ordered(value[key])]),
  );
}

const text = (value: unknown): string => printExactJson(ordered(value));

function recordedInfo(folder: string): ExactObject {
  const path = join(folder, 'object_info.json.gz');
  return parseExactJson(gunzipSync(readFileSync(path)).toString('utf8'), 'object_info') as ExactObject;
}

/** The names of files that the recorded lists hold: what lay in the folders of the original. */
function recordedLists(setFolder: string): NameLists {
  const folder = join(setFolder, 'protocol/object_info');
  const info = existsSync(folder) ? recordedInfo(folder) : {};
  const names = new Map<FolderKind, readonly string[]>();
  for (const [name, node] of nodes) {
    const inputs = { ...node.required, ...node.optional };
    for (const [input, [type, settings]] of Object.entries(inputs)) {
      const list = [type, settings?.['options']].find(
        (one): one is { folder: FolderKind; last?: readonly string[] } =>
          typeof one === 'object' && one !== null && 'folder' in one,
      );
      if (!list) continue;
      const recorded = info[name] as ExactObject | undefined;
      const group = (recorded?.['input'] as ExactObject | undefined)?.[
        node.required?.[input] ? 'required' : 'optional'
      ];
      const spec = (group as ExactObject | undefined)?.[input] as readonly ExactJson[] | undefined;
      const found = (Array.isArray(spec?.[0]) ? spec[0] : (spec?.[1] as ExactObject | undefined)?.['options']) as
        | readonly string[]
        | undefined;
      if (found)
        names.set(
          list.folder,
          found.filter((one) => !list.last?.includes(one)),
        );
    }
  }
  return {
    names: (kind) => names.get(kind) ?? [],
    exists: (name) => names.get('input_images')?.includes(name) ?? false,
  };
}

const isInfo = (recorded: RecordedCase): boolean => existsSync(join(recorded.folder, 'object_info.json.gz'));

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) =>
    part === 'protocol' && /GET \/object_info, whole|POST \/prompt refused/.test(String(row['exercises'])),
  compare: collecting((recorded, compare) => {
    const lists = recordedLists(recorded.setFolder);
    if (isInfo(recorded)) {
      const info = recordedInfo(recorded.folder);
      for (const [name, node] of nodes)
        if (info[name]) compare.exact(name, text(nodeInfo(node, lists)), text(info[name]));
      return;
    }
    const values = parseExactJson(readFileSync(join(recorded.folder, 'values.json'), 'utf8'), 'values.json');
    for (const { request, response, note } of values as unknown as readonly {
      readonly request: { readonly json?: { readonly prompt?: ExactJson } };
      readonly response: { readonly json?: ExactObject };
      readonly note: string;
    }[]) {
      const prompt = request.json?.prompt;
      const want = response.json;
      if (prompt === undefined || !want || !('node_errors' in want)) {
        compare.skip(note, 'an answer of the server, before a graph is looked at');
        continue;
      }
      const { error, nodeErrors } = validateWorkflow(apiGraph(prompt), nodes, lists);
      compare.exact(note, text({ error, node_errors: nodeErrors }), text(want));
    }
  }),
};
