/**
 * `npm run faults`: ends the process at each of its writes, and fills the disk at each, for the journal of jobs, the store of pictures,
 * files that are kept and replaced, and training. What was promised before is checked afterwards: nothing is lost.
 *
 *     npm run faults                       every point of every scenario but training's, of which every fifth
 *     npm run faults -- journal store      these scenarios
 *     npm run faults -- training --every 1
 */

import { parseArgs } from 'node:util';
import { countWrites, type FaultKind, scenarioNames, tryFault } from './faults/run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { every: { type: 'string' }, together: { type: 'string', default: '2' } },
});

/** Runs the work for each item, some at the same time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const lane = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Number(values.together) }, lane));
}

let lost = 0;
for (const name of positionals.length > 0 ? positionals : scenarioNames) {
  const writes = await countWrites(name);
  const stride = Number(values.every ?? (name === 'training' ? 5 : 1));
  const points: { readonly kind: FaultKind; readonly at: number }[] = [];
  for (const kind of ['kill', 'half', 'full'] as const)
    for (let at = 1; at <= writes; at += stride) points.push({ kind, at });
  let broken = 0;
  await each(points, async ({ kind, at }) => {
    const wrong = await tryFault(name, kind, at);
    if (wrong === undefined) return;
    broken++;
    console.error(`${name}, ${kind} at write ${at}: ${wrong}`);
  });
  lost += broken;
  console.log(`${name.padEnd(10)} ${writes} writes, ${points.length} points tried, ${broken} with a loss`);
}
process.exitCode = lost === 0 ? 0 : 1;
