/** The recorded cases in fixtures/ as tests: the same readers as `npm run parity`. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { disposeParityEngine } from './engine.ts';
import { readers } from './readers.ts';
import { casesOf } from './recorded-cases.ts';
import { runCase, titleOf } from './run.ts';

export const fixtures = join(import.meta.dirname, '../../fixtures');

/** One test a case that the set's index in fixtures/ lists. A case that nothing reads fails, unless test/parity/not-read.ts states a reason. */
export async function testSet(set: string): Promise<void> {
  const cases = casesOf(fixtures, set);
  assert.ok(cases.length > 0, `fixtures/${set}/index.json lists no case`);
  const rows = readers.filter((row) => row.set === set);
  const loaded = await Promise.all(rows.map(async (row) => (await row.load()).reader));
  after(async () => {
    for (const reader of loaded) await reader.dispose?.();
    disposeParityEngine();
  });
  for (const recorded of cases)
    test(titleOf(recorded), async (context) => {
      const { verdict, reason } = await runCase(recorded, loaded);
      if (verdict === 'not read') context.skip(reason);
      else assert.equal(verdict, 'pass', reason);
    });
}
