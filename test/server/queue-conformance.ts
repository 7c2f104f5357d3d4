/** What every JobQueue does; run on each implementation. */

import test, { after } from 'node:test';
import type { JobQueue } from '../../src/server/queue/queue.ts';
import { stateChecks } from './queue-states.ts';
import { takingChecks } from './queue-taking.ts';

export interface QueueUnderTest {
  readonly name: string;
  /** A new, empty queue; jobs are begun at most `attempts` times. Closed by the test. */
  open(attempts: number): Promise<JobQueue>;
  readonly skip?: string | false;
}

// A timeout signal alone does not keep the process alive.
const alive = setInterval(() => {}, 1000);
after(() => clearInterval(alive));

export function testQueue({ name, open, skip = false }: QueueUnderTest): void {
  for (const { title, attempts = 3, run } of [...takingChecks, ...stateChecks]) {
    test(`${name}: ${title}`, { skip }, async () => {
      const queue = await open(attempts);
      try {
        await run(queue);
      } finally {
        await queue.close();
      }
    });
  }
}
