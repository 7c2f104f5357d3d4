/** The process that works under a fault: SCENARIO FOLDER. What it says goes to standard output, line by line, before it goes on. */

import { StableDiffusionError } from '../../src/errors.ts';
import { scenarios } from './scenarios.ts';

const [name = '', folder = ''] = process.argv.slice(2);
try {
  await scenarios[name]?.work(folder, (event, id) => {
    process.stdout.write(`${event} ${id}\n`);
  });
} catch (error) {
  // A program that says what is wrong and ends has kept its promises so far.
  if (!(error instanceof StableDiffusionError && error.code === 'file-access')) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
