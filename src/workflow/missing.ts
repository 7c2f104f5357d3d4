/** What a graph needs and is not here: classes of nodes, and files of models and pictures that its inputs name. */

import type { NodeTable } from './definition.ts';
import type { FolderKind } from './folder-kinds.ts';
import type { ApiGraph } from './graph.ts';
import type { InputSpec, NameLists } from './input-spec.ts';

export interface MissingNode {
  readonly classType: string;
  /** Ids of its nodes. */
  readonly nodes: readonly string[];
}

export interface MissingFile {
  readonly kind: FolderKind;
  readonly name: string;
  readonly nodes: readonly string[];
}

export interface Missing {
  readonly nodes: readonly MissingNode[];
  readonly files: readonly MissingFile[];
}

/** The folder whose files an input names, in ComfyUI's older form or its newer one. */
export function folderOf([type, settings]: InputSpec): FolderKind | undefined {
  if (type === 'COMBO' && settings?.['options']) return folderOf([settings['options'] as InputSpec[0]]);
  return typeof type === 'object' && 'folder' in type ? type.folder : undefined;
}

/** Classes and files that are not there. */
export function missingOf(graph: ApiGraph, nodes: NodeTable, lists: NameLists): Missing {
  const classes = new Map<string, string[]>();
  const files = new Map<string, { kind: FolderKind; name: string; nodes: string[] }>();
  for (const [id, { class_type = '', inputs }] of graph) {
    const node = nodes.get(class_type);
    if (!node) {
      classes.set(class_type, [...(classes.get(class_type) ?? []), id]);
      continue;
    }
    for (const [input, spec] of Object.entries({ ...node.required, ...node.optional })) {
      const kind = folderOf(spec);
      const name = inputs[input];
      if (kind === undefined || typeof name !== 'string' || isThere(kind, name, spec, lists)) continue;
      const key = JSON.stringify([kind, name]);
      const known = files.get(key) ?? { kind, name, nodes: [] };
      files.set(key, { ...known, nodes: [...known.nodes, id] });
    }
  }
  return { nodes: [...classes].map(([classType, ids]) => ({ classType, nodes: ids })), files: [...files.values()] };
}

function isThere(kind: FolderKind, name: string, [type]: InputSpec, lists: NameLists): boolean {
  if (lists.names(kind).includes(name)) return true;
  const more = typeof type === 'object' && 'folder' in type ? [...(type.first ?? []), ...(type.last ?? [])] : [];
  return more.includes(name) || (kind.startsWith('input_') && lists.exists(name));
}
