/** The recorded cases of fixtures/networks. */

import { testSet } from './test-set.ts';

await testSet('networks');
