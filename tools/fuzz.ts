/**
 * Fuzzes every reader of files and requests of strangers: valid and hostile files, changed at random, in child processes with 2 s of the
 * processor for a file and 512 MB. What ends otherwise than with a value or an error of ours is a finding, made small and written to build/fuzz/.
 *
 *     npm run fuzz                          every target, 5 seconds each
 *     npm run fuzz -- pickle --seconds 600  one target
 *     npm run fuzz -- --minutes 60          every target, an hour in all: some ten million tries
 *     npm run fuzz -- --seed 7              other changes
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Answer, Task } from './fuzz/child.ts';
import { mutant } from './fuzz/mutate.ts';
import { targets } from './fuzz/targets.ts';

const limits = { milliseconds: 2000, bytes: 512 * 2 ** 20 };
/** Before any input: Node, the program and the codecs. */
const baseline = 256 * 2 ** 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '5' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});
const root = join(import.meta.dirname, '..');

interface Child {
  readonly process: ChildProcess;
  /** The answer, with what was wrong in it. */
  ask(task: Task): Promise<Answer>;
  /** Whether it can be asked for the files of another target: it lives, and no file has made its memory large. */
  isFresh(): boolean;
}

/** Milliseconds of tries between two signs of life. */
const batch = 100;

/** Milliseconds of the processor that a process has used: on a busy machine the clock runs on while it waits. Elsewhere than on Linux, the clock. */
function processorTime(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return performance.now();
  }
}

async function startChild(): Promise<Child> {
  const child = fork(join(root, 'tools/fuzz/child.ts'), {
    execArgv: ['--import', join(root, 'tools/typescript.mjs'), `--max-old-space-size=${limits.bytes / 2 ** 20}`],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const answer = (): Promise<Answer | undefined> =>
    new Promise((resolve) => {
      child.removeAllListeners('message').once('message', (message) => resolve(message as Answer));
      child.removeAllListeners('exit').once('exit', () => resolve(undefined));
    });
  await answer();
  let peak = 0;
  return {
    process: child,
    isFresh: () => child.connected && peak < baseline + limits.bytes / 2,
    async ask(task) {
      const most = limits.bytes + baseline + (targets[task.target]?.threadMegabytes ?? 0) * 2 ** 20;
      if (!child.connected) return { unexpected: 'the process ended before its first file' };
      const answered = answer();
      child.send(task);
      let timer: NodeJS.Timeout | undefined;
      const allowed = limits.milliseconds + ('seed' in task ? task.milliseconds : 0);
      const begun = { clock: performance.now(), processor: processorTime(child.pid) };
      const late = new Promise<'late'>((resolve) => {
        const look = (): void => {
          const used = processorTime(child.pid) - begun.processor;
          const isLate = used >= allowed || performance.now() - begun.clock > 15 * allowed;
          if (isLate) resolve('late');
          else timer = setTimeout(look, Math.max(10, allowed - used));
        };
        timer = setTimeout(look, allowed);
      });
      const result = await Promise.race([answered, late]);
      clearTimeout(timer);
      if (result === 'late') return { unexpected: `no end within ${limits.milliseconds} ms` };
      if (result === undefined) return { unexpected: 'the process ended' };
      peak = result.rss ?? 0;
      if (peak > most) return { unexpected: `${Math.round(peak / 2 ** 20)} MB of memory` };
      return result;
    },
  };
}

/** Cuts pieces out as long as the same kind of thing goes wrong. */
async function minimal(target: string, bytes: Uint8Array): Promise<Uint8Array> {
  let small = bytes;
  for (let piece = Math.ceil(bytes.length / 2), tries = 0; piece >= 1 && tries < 60; piece = Math.floor(piece / 2)) {
    for (let at = 0; at < small.length && tries < 60; tries++) {
      const shorter = new Uint8Array(Buffer.concat([small.subarray(0, at), small.subarray(at + piece)]));
      const child = await startChild();
      const wrong = (await child.ask({ target, bytes: shorter })).unexpected;
      child.process.kill('SIGKILL');
      if (wrong === undefined) at += piece;
      else small = shorter;
    }
  }
  return small;
}

/** What is wrong with one file, in a process of its own. */
async function alone(target: string, bytes: Uint8Array): Promise<string | undefined> {
  const child = await startChild();
  const { unexpected } = await child.ask({ target, bytes });
  child.process.kill('SIGKILL');
  return unexpected;
}

async function writeFinding(target: string, bytes: Uint8Array, wrong: string): Promise<void> {
  const small = await minimal(target, bytes);
  const name = `${target}-${createHash('sha256').update(small).digest('hex').slice(0, 12)}.bin`;
  mkdirSync(join(root, 'build/fuzz'), { recursive: true });
  writeFileSync(join(root, 'build/fuzz', name), small);
  console.error(`${target}: build/fuzz/${name} (${small.length} bytes): ${wrong.split('\n').slice(0, 3).join(' ')}`);
}

/** The file among those from `from` on at which a process ended, or did not end: all of them are tried again, one by one. */
async function culprit(target: string, corpus: readonly Uint8Array[], seed: number, from: number) {
  const child = await startChild();
  try {
    for (let index = from; index < from + 100_000; index++) {
      const bytes = mutant(corpus, seed, index);
      const { unexpected } = await child.ask({ target, bytes });
      if (unexpected !== undefined) return { bytes, index, unexpected };
    }
    return undefined;
  } finally {
    child.process.kill('SIGKILL');
  }
}

/** Starting a process takes longer than thousands of tries, so the targets share one as long as it lives. */
let shared: Child | undefined;

async function fuzz(
  target: string,
  seconds: number,
  seed: number,
): Promise<readonly [tries: number, findings: number]> {
  const corpus = targets[target]?.corpus() ?? [];
  if (corpus.length === 0) throw new Error(`There are no files to begin from for ${target}.`);
  if (!shared?.isFresh()) shared?.process.kill('SIGKILL');
  let child = shared?.isFresh() ? shared : await startChild();
  const end = performance.now() + seconds * 1000;
  let findings = 0;
  let from = 0;
  while (performance.now() < end && findings < 5) {
    const { next, unexpected } = await child.ask({ target, seed, from, milliseconds: batch });
    if (unexpected === undefined && next !== undefined) {
      from = next;
      continue;
    }
    child.process.kill('SIGKILL');
    const known = next === undefined ? undefined : mutant(corpus, seed, next - 1);
    const found =
      known === undefined || unexpected === undefined
        ? await culprit(target, corpus, seed, from)
        : { bytes: known, index: (next ?? 1) - 1, unexpected };
    // It also reports what goes wrong only after many other files.
    findings++;
    if (found) await writeFinding(target, found.bytes, (await alone(target, found.bytes)) ?? found.unexpected);
    else console.error(`${target}: from number ${from} of seed ${seed} on: ${unexpected}`);
    from = (found?.index ?? from) + 1;
    child = await startChild();
  }
  shared = child;
  console.log(`${target.padEnd(16)} ${String(from).padStart(9)} tries, ${findings} findings`);
  return [from, findings];
}

const wanted = positionals.length > 0 ? positionals : Object.keys(targets);
for (const target of wanted)
  if (!Object.hasOwn(targets, target))
    throw new Error(`There is no target ${target}. There are ${Object.keys(targets).join(', ')}.`);
const seconds = values.minutes === undefined ? Number(values.seconds) : (60 * Number(values.minutes)) / wanted.length;
let [tries, findings] = [0, 0];
for (const target of wanted) {
  const [more, found] = await fuzz(target, seconds, Number(values.seed));
  tries += more;
  findings += found;
}
shared?.process.kill('SIGKILL');
console.log(`${'all'.padEnd(16)} ${String(tries).padStart(9)} tries, ${findings} findings`);
process.exitCode = findings === 0 ? 0 : 1;
