/** Imported before a program, in `npm test -- --times`: writes the processor time of this process for the test file that it belongs to. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const folder = process.env.SD_TEST_TIMES;
// Kept, because a test may put faults in its place.
const write = writeFileSync;
if (folder && isMainThread) {
  const test = /[\\/]\.tests-\d+[\\/](test[\\/].*)\.js$/.exec(process.argv[1] ?? '')?.[1];
  process.env.SD_TEST_FILE ??= test?.replaceAll('\\', '/');
  process.on('exit', () => {
    const { user, system } = process.cpuUsage();
    const file = process.env.SD_TEST_FILE ?? 'the runner';
    write(join(folder, String(process.pid)), JSON.stringify({ file, seconds: (user + system) / 1e6 }));
  });
}
