/** The recorded cases of fixtures/diffusion. */

import { testSet } from './test-set.ts';

await testSet('diffusion');
