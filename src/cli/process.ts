/**
 * The process around a command. The command runs in a thread of its own, so that the main thread always hears signals, whatever the
 * command reads or calculates; it also ends the process when the command does not end by itself.
 */

import { existsSync, readFileSync } from 'node:fs';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { StableDiffusionError } from '../errors.ts';
import type { FromCommand, ToCommand, CommandSetting, StreamName } from './command-thread.ts';
import { watchReaders } from './watch-readers-node.ts';
import { errorJson, errorLine, exitCodes, reportError } from './exit-codes.ts';

/** Default milliseconds that a command may take to end after Ctrl-C. */
const defaultPatience = 900;
/** npm passes on a Ctrl-C that the terminal has sent already: within this time it is the same one. */
const samePress = 200;
/**
 * Bytes of code that a function runs before V8 compiles it for speed, 66 KB by default. A short command ends before most of what V8 then
 * compiles is of use; loops of work pass 1 MB within milliseconds.
 */
const bytesBeforeCompilation = 1_000_000;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

/** Runs a command line; resolves to the exit code when everything is written. */
export function runProcess(words: readonly string[]): Promise<number> {
  // That of Node 20. Later ones count calls instead, and complain of a setting that they do not know.
  if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${bytesBeforeCompilation}`);
  const worker = new Worker(commandThread(), {
    workerData: settingOf(words),
    resourceLimits: { maxOldGenerationSizeMb: Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20) },
  });
  const send = (message: ToCommand): void => worker.postMessage(message);
  const ending = watchSignals(() => send({ kind: 'abort' }));
  for (const stream of ['out', 'err'] as const)
    streamOf(stream).on('error', (error: NodeJS.ErrnoException) => ending.outputFailed(stream, error));
  const watches = [1, 2].map((descriptor) => watchReaders(descriptor, () => ending.readerGone()));

  return new Promise<number>((resolve) => {
    let code: number | undefined;
    worker.on('message', (message: FromCommand) => {
      if (message.kind === 'write') ending.write(message.stream, message.text);
      else if (message.kind === 'patience') ending.setPatience(message.milliseconds);
      else if (message.kind === 'signal') ending.alsoStopAt(message.signal);
      else if (message.kind === 'listen')
        process.on(message.signal, () => send({ kind: 'heard', signal: message.signal }));
      else if (message.kind === 'input') readInput(send);
      else ({ code } = message);
    });
    worker.on('error', (error: Error & { readonly code?: string }) => {
      code = exitCodes.failure;
      const report = reportError(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? outOfMemory() : error);
      if (words.includes('--json')) ending.write('out', errorJson(report));
      else ending.write('err', errorLine(report));
    });
    worker.on('exit', (status) => {
      process.stdin.destroy();
      for (const stop of watches) stop();
      ending.done();
      resolve(ending.exitCode(code ?? (status || exitCodes.failure)));
    });
  });
}

/** The thread's program: bundled by tools/bundle-cli.ts in the package, which starts sooner; in the sources the module itself. */
function commandThread(): URL {
  const bundled = new URL('../command/command-thread.js', import.meta.url);
  if (existsSync(bundled)) return bundled;
  return new URL(`./command-thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}

const streamOf = (name: StreamName): NodeJS.WriteStream => (name === 'out' ? process.stdout : process.stderr);

function settingOf(words: readonly string[]): CommandSetting {
  const terminal = (stream: NodeJS.WriteStream) => ({
    isTerminal: stream.isTTY === true,
    columns: stream.columns || 100,
    rows: stream.rows || undefined,
  });
  return { words, version, out: terminal(process.stdout), err: terminal(process.stderr) };
}

/** Only where the command reads it: a shell's loop may read the same input. */
function readInput(send: (message: ToCommand) => void): void {
  process.stdin.on('data', (chunk: Buffer) => send({ kind: 'input', bytes: new Uint8Array(chunk) }));
  process.stdin.once('end', () => send({ kind: 'input', bytes: undefined }));
  process.stdin.once('error', () => send({ kind: 'input', bytes: undefined }));
}

function outOfMemory(): StableDiffusionError {
  const megabytes = Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20);
  return new StableDiffusionError(
    'too-large',
    `The command needed more than the ${megabytes} MB of memory that Node.js allows for objects. Give it less at once, or more with NODE_OPTIONS=--max-old-space-size=${2 * megabytes}.`,
  );
}

/** One way to end for INT, TERM, HUP and for a reader of the output that has gone: the command is cancelled, and given time to save. */
function watchSignals(cancel: () => void) {
  let patience = defaultPatience;
  let first: number | undefined;
  let failed: NodeJS.ErrnoException | undefined;
  let timer: NodeJS.Timeout | undefined;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

  const end = (signal: NodeJS.Signals): void => {
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  };
  const interrupt = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (first !== undefined) {
      if (now - first > samePress) end(signal);
      return;
    }
    first = now;
    cancel();
    const give = (): void => {
      const left = patience - (performance.now() - now);
      if (left <= 0) end(signal);
      else timer = setTimeout(give, left);
    };
    give();
  };
  for (const signal of signals) process.on(signal, interrupt);
  return {
    /** A scheduler may send it several times; it never ends the command at once. */
    alsoStopAt(signal: 'SIGUSR1'): void {
      process.on(signal, () => {
        if (first === undefined) interrupt('SIGTERM');
      });
    },
    setPatience(milliseconds: number): void {
      patience = milliseconds;
    },
    write(stream: StreamName, text: string): void {
      if (failed === undefined || stream === 'err') streamOf(stream).write(text);
    },
    outputFailed(stream: StreamName, error: NodeJS.ErrnoException): void {
      const readerGone = error.code === 'EPIPE' || error.code === 'EIO' || error.code === 'ECONNRESET';
      if (failed === undefined && stream === 'out' && !readerGone)
        process.stderr.write(`sd: The output could not be written: ${error.message}. [file-access]\n`);
      failed ??= error;
      this.readerGone();
    },
    readerGone(): void {
      if (first === undefined) interrupt('SIGTERM');
    },
    /** A closed pipe is a success if the work was done: the reader has all that it needs. */
    exitCode(code: number): number {
      const lost = failed !== undefined && failed.code !== 'EPIPE' && failed.code !== 'EIO';
      return lost && code === exitCodes.ok ? exitCodes.failure : code;
    },
    done(): void {
      clearTimeout(timer);
    },
  };
}
