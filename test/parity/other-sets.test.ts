/** The recorded cases of the sets in fixtures/ that have no test file of their own. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setsOf } from './recorded-cases.ts';
import { fixtures, testSet } from './test-set.ts';

const others = setsOf(fixtures).filter((set) => !existsSync(join(import.meta.dirname, `${set}.test.ts`)));
for (const set of others) await testSet(set);
