/** The recorded cases of fixtures/files. */

import { testSet } from './test-set.ts';

await testSet('files');
