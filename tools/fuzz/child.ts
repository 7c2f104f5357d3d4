/** Runs one target on bytes that arrive, one after the other, and answers what came of them. Its memory and time are limited by the parent. */

import { StableDiffusionError } from '../../src/errors.ts';
import { targets } from './targets.ts';

const target = targets[process.argv[2] ?? ''];
if (!target) throw new Error(`There is no target ${process.argv[2]}.`);

process.on('message', async (bytes: Uint8Array) => {
  let unexpected: string | undefined;
  try {
    await target.run(new Uint8Array(bytes));
  } catch (error) {
    if (!(error instanceof StableDiffusionError))
      unexpected = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  process.send?.({ unexpected, rss: process.resourceUsage().maxRSS * 1024 });
});
process.send?.({ ready: true });
