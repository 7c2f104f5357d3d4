/** The recorded cases of fixtures/training. */

import { testSet } from './test-set.ts';

await testSet('training');
