/** The readers of recorded cases: one line each. They are imported when a case of their set is run. */

import type { Reader } from './reader.ts';

interface ReaderRow {
  readonly set: string;
  readonly load: () => Promise<{ readonly reader: Reader }>;
}

export const readers: readonly ReaderRow[] = [{ set: 'networks', load: () => import('./readers/network-forward.ts') }];
