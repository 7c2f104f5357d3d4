/**
 * Counts the different names of a JSON text's members on its bytes, before parsing. JavaScript keeps every name that it meets for the first
 * time in a table: two hundred thousand of them take as long as ten million values.
 */

import { endOfString, quote } from './count-values.ts';

const colon = 0x3a;
const isSpace = (byte: number | undefined): boolean => byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);

/** FNV-1a of the bytes, never 0. */
function hashOf(json: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (json[at] as number), 0x01000193);
  return hash === 0 ? 1 : hash;
}

/** True if there are more than `most` different names. Linear time. Of names with one hash, rare by chance, only one is counted. */
export function hasMoreNames(json: Buffer, most: number): boolean {
  const size = 2 ** Math.ceil(Math.log2(2 * most + 2));
  const table = new Int32Array(size);
  let names = 0;
  for (let at = json.indexOf(quote); at >= 0; at = json.indexOf(quote, at + 1)) {
    const start = at + 1;
    at = endOfString(json, at);
    let after = at + 1;
    while (isSpace(json[after])) after++;
    if (json[after] !== colon) continue;
    const hash = hashOf(json, start, at);
    let place = hash & (size - 1);
    while (table[place] !== 0 && table[place] !== hash) place = (place + 1) & (size - 1);
    if (table[place] === hash) continue;
    table[place] = hash;
    if (++names > most) return true;
  }
  return false;
}
