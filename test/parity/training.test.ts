/** The recorded cases of fixtures/training. */

import { keepParityPrograms } from './engine.ts';
import { testSet } from './test-set.ts';

keepParityPrograms();
await testSet('training');
