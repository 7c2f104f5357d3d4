#!/usr/bin/env node
/** The executable `sd`, also `stable-diffusion`: the process around `runCli`. */

import { readFileSync } from 'node:fs';
import type { TextOutput } from './command.ts';
import { exitCodes } from './exit-codes.ts';
import { runCli } from './program.ts';

/** Milliseconds that the command may take to end after Ctrl-C before the process exits. */
let patience = 1500;

function output(stream: NodeJS.WriteStream): TextOutput {
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY === true,
    columns: stream.columns || 100,
    ...(stream.rows ? { rows: stream.rows } : {}),
  };
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const controller = new AbortController();
let interrupts = 0;

/** Ctrl-C cancels the command, which then cleans up. A running kernel cannot be stopped, so we do not wait for it. */
function interrupt(signal: NodeJS.Signals): void {
  const end = (): void => {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
  interrupts++;
  if (interrupts > 1) end();
  controller.abort();
  setTimeout(end, patience).unref();
}
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
// `sd … | head` closes the pipe: nobody reads the output any more.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failure),
);

const code = await runCli(
  process.argv.slice(2),
  {
    out: output(process.stdout),
    err: output(process.stderr),
    input: process.stdin,
    environment: process.env,
    signal: controller.signal,
    now: () => performance.now(),
    setPatience: (milliseconds) => {
      patience = milliseconds;
    },
  },
  version,
);
process.exitCode = code;
