/** Trained parameters in packs: those with the same settings lie one behind the other, and are updated together. */

import type { EngineState } from '../../engine/engine.ts';
import { elementCount, type Shape } from '../../tensor/tensor.ts';
import type { ParameterGroup } from './parameter-group.ts';

/** Splits names into parts of about 64 MB of tensors, to bound the size of a transfer to the engine. */
export function inParts<T>(items: readonly T[], shapeOf: (item: T) => Shape): T[][] {
  const parts: T[][] = [];
  let room = 0;
  for (const item of items) {
    const size = elementCount(shapeOf(item));
    if (size > room) {
      parts.push([]);
      room = 2 ** 24;
    }
    parts.at(-1)?.push(item);
    room -= size;
  }
  return parts;
}

/** A pack of tensors of the shapes of others: `nameOf` gives the name of each. Another step on the same state may have created it already. */
export async function packLike(
  state: EngineState,
  pack: string,
  members: readonly string[],
  nameOf: (name: string) => string,
): Promise<void> {
  if (state.entries.has(pack)) return;
  await state.pack(
    pack,
    Object.fromEntries(members.map((name) => [nameOf(name), state.entries.get(name)?.shape ?? []])),
  );
}

/** Trained parameters with the same settings, which lie one behind the other and are updated together. */
export interface Pack {
  /** Its gradients, moments and averages lie in packs named after it. */
  readonly name: string;
  readonly members: readonly string[];
  readonly group: ParameterGroup;
  readonly averaged: boolean;
}

/** Approximate maximum size of packs in elements, because packing moves them. */
const largestPack = 2 ** 24;

export function packsOf(
  state: EngineState,
  groups: ReadonlyMap<string, ParameterGroup>,
  averaged: (name: string) => boolean,
  /** In so many parts or more. */
  parts = 1,
): Pack[] {
  const whole = [...groups.keys()].reduce((sum, name) => sum + elementCount(state.entries.get(name)?.shape ?? []), 0);
  const packSize = Math.min(largestPack, Math.ceil(whole / parts));
  const packs: (Omit<Pack, 'members'> & { readonly key: string; readonly members: string[]; room: number })[] = [];
  for (const [name, group] of groups) {
    const key = `${group.learningRateScale} ${group.weightDecay} ${averaged(name)}`;
    const size = elementCount(state.entries.get(name)?.shape ?? []);
    const open = packs.findLast((pack) => pack.key === key && pack.room >= size);
    if (open) {
      open.members.push(name);
      open.room -= size;
    } else packs.push({ name, key, members: [name], room: packSize - size, group, averaged: averaged(name) });
  }
  // Steps that train the same parameters have the same packs; others would find theirs taken.
  return packs.map((pack) => ({
    ...pack,
    name: `pack of ${pack.members.length} from ${pack.name} to ${pack.members.at(-1)}`,
  }));
}
