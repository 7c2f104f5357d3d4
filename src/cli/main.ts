#!/usr/bin/env node
/** The executable `sd`, also `stable-diffusion`. Imports nothing before Node's version is known: what is imported needs a new one. */

const needed = [20, 20];
const found = process.versions.node.split('.').map(Number);
const [major = 0, minor = 0] = found;

if (major < Number(needed[0]) || (major === needed[0] && minor < Number(needed[1]))) {
  process.stderr.write(
    `sd: Node.js ${needed.join('.')} or later is required, and this is ${process.versions.node}. Install a newer one from https://nodejs.org and run the command again. [node-too-old]\n`,
  );
  process.exitCode = 1;
} else {
  const { runProcess } = await import('./process.ts');
  process.exitCode = await runProcess(process.argv.slice(2));
}
