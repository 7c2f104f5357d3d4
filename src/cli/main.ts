#!/usr/bin/env node
/** The executable `sd`, also `stable-diffusion`. Imports nothing before Node's version is known: what is imported needs a new one. */

import { nodeVersionFault } from '../files/node-version-node.ts';

const fault = nodeVersionFault();
if (fault === undefined) {
  // Old versions, which must read this far, have no `await` outside functions.
  void import('./process.ts')
    .then(({ runProcess }) => runProcess(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
    });
} else {
  process.stderr.write(`sd: ${fault} [node-too-old]\n`);
  process.exitCode = 1;
}
