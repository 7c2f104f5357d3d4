/** The ending of the names of pictures that are only shown, drawn once for each node: `_temp_abcde`. */

import type { NodeContext } from './context-in-run.ts';

const letters = 'abcdefghijklmnopqrstupvxyz';

export function temporaryPrefix({ memory }: NodeContext): string {
  const known = memory.get('temporary prefix');
  if (typeof known === 'string') return known;
  const drawn = Array.from({ length: 5 }, () => letters[Math.floor(Math.random() * letters.length)]).join('');
  const prefix = `_temp_${drawn}`;
  memory.set('temporary prefix', prefix);
  return prefix;
}
