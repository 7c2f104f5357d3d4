/**
 * Further nodes for workflows, from modules in a folder of the operator's. A module's default export, or its export `nodes`, is a node or a
 * list of nodes as `NodeType` describes them. Modules run without a sandbox, with all rights of this process.
 */

import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { StableDiffusionError } from '../../errors.ts';
import type { NodeTable, NodeType } from '../../workflow/definition.ts';

const endings = /\.m?[jt]s$/;

function isNode(value: unknown): value is NodeType {
  const node = value as Partial<NodeType> | null;
  return (
    typeof node === 'object' &&
    node !== null &&
    typeof node.name === 'string' &&
    Array.isArray(node.outputs) &&
    typeof node.run === 'function'
  );
}

/** The nodes of a module. */
async function nodesOf(path: string): Promise<readonly NodeType[]> {
  let module: { readonly default?: unknown; readonly nodes?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as typeof module;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StableDiffusionError('file-corrupt', `The module of nodes ${path} cannot be loaded: ${reason}`, {
      cause,
    });
  }
  const given = module.nodes ?? module.default;
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const wrong = list.findIndex((node) => !isNode(node));
  if (wrong >= 0)
    throw new StableDiffusionError(
      'file-unsupported',
      `${path} has no node at place ${wrong} of its export: a node has a name, a list of outputs and a function run.`,
    );
  return list.filter(isNode).map((node) => ({
    ...node,
    displayName: node.displayName ?? null,
    category: node.category ?? '',
    module: node.module ?? 'custom_nodes',
  }));
}

/** The table with the nodes of a folder; a node of a name that is taken replaces ours. Throws `file-not-found`, `file-corrupt`, `file-unsupported`. */
export async function nodesWith(folder: string | undefined, own: NodeTable): Promise<NodeTable> {
  if (folder === undefined) return own;
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The folder of nodes ${folder} cannot be read.`, { cause });
  });
  const table = new Map(own);
  for (const name of names.filter((file) => endings.test(file) && !file.endsWith('.d.ts')).sort())
    for (const node of await nodesOf(resolve(folder, name))) table.set(node.name, node);
  return table;
}
