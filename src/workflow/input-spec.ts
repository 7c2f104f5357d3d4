/** The type and settings of an input of a node, as `/object_info` has them; a request fills in the lists of files. */

import type { FolderKind } from './folder-kinds.ts';

/** The names of the files of a kind. */
export interface FolderList {
  readonly folder: FolderKind;
  /** Names before and behind those of the files. */
  readonly first?: readonly string[];
  readonly last?: readonly string[];
}

/** ComfyUI's name of a type, the values of a list, or the files of a folder. */
export type InputType = string | readonly string[] | FolderList;

/** As in `/object_info`: `default`, `min`, `max`, `step`, … A bigint is a whole number beyond 2^53. */
export type InputSettings = Readonly<Record<string, unknown>>;

/** Without settings `/object_info` has none either. */
export type InputSpec = readonly [type: InputType, settings?: InputSettings];

export type InputSpecs = Readonly<Record<string, InputSpec>>;

/** Names of the files of each kind, as they were when asked for. */
export interface NameLists {
  names(folder: FolderKind): readonly string[];
  /** Whether a picture or latent is there; the name may end in ` [output]`, ` [temp]` or ` [input]`. Looks nowhere else. */
  exists(name: string): boolean;
}

/** The names of a spec's list, or undefined for other types. */
export function namesOf([type, settings]: InputSpec, lists: NameLists): readonly string[] | undefined {
  if (typeof type === 'string') {
    if (type !== 'COMBO') return undefined;
    const options = settings?.['options'] as InputType | undefined;
    return options === undefined || typeof options === 'string' ? [] : namesOf([options], lists);
  }
  if (!('folder' in type)) return type;
  return [...(type.first ?? []), ...lists.names(type.folder), ...(type.last ?? [])];
}
