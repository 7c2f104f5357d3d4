/** Arranges pictures of one size in columns and rows; the style sheet makes them as large as possible. */

import type { CSSProperties } from 'react';
import type { Settings } from '../settings/settings.ts';

/** Small pictures are not blown up beyond this many pixels of the screen for one of theirs. */
const largestScale = 4;

export function sheetOf(count: number, { width, height }: Pick<Settings, 'width' | 'height'>): CSSProperties {
  const columns = count <= 1 ? 1 : count <= 4 ? 2 : count <= 9 ? 3 : 4;
  return {
    '--columns': columns,
    '--rows': Math.ceil(count / columns),
    '--ratio': width / height || 1,
    '--largest': `${(width || 512) * columns * largestScale}px`,
  } as CSSProperties;
}
