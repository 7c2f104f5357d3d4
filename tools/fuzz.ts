/**
 * Fuzzes every reader of files of strangers: valid and hostile files, changed by fast-check, each try in a child process with 2 s of the processor and
 * 512 MB. What ends otherwise than with a value or an error of ours is a finding, made small and written to build/fuzz/.
 *
 *     npm run fuzz                          every target, 5 seconds each
 *     npm run fuzz -- pickle --seconds 600  one target
 *     npm run fuzz -- --seed 7              other changes
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { targets } from './fuzz/targets.ts';

const limits = { milliseconds: 2000, bytes: 512 * 2 ** 20 };
/** Before any input: Node, the program and the codecs. */
const baseline = 256 * 2 ** 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' } },
});
const root = join(import.meta.dirname, '..');

interface Child {
  readonly process: ChildProcess;
  /** What was wrong, or undefined. */
  attempt(bytes: Uint8Array): Promise<string | undefined>;
}

interface Answer {
  readonly ready?: boolean;
  readonly unexpected?: string;
  readonly rss?: number;
}

/** Milliseconds of the processor that a process has used: on a busy machine the clock runs on while it waits. Elsewhere than on Linux, the clock. */
function processorTime(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return performance.now();
  }
}

async function startChild(target: string): Promise<Child> {
  const child = fork(join(root, 'tools/fuzz/child.ts'), [target], {
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
  const most = limits.bytes + baseline + (targets[target]?.threadMegabytes ?? 0) * 2 ** 20;
  return {
    process: child,
    async attempt(bytes) {
      if (!child.connected) return 'the process ended before its first file';
      const answered = answer();
      child.send(bytes);
      let timer: NodeJS.Timeout | undefined;
      const begun = { clock: performance.now(), processor: processorTime(child.pid) };
      const late = new Promise<'late'>((resolve) => {
        const look = (): void => {
          const used = processorTime(child.pid) - begun.processor;
          const isLate = used >= limits.milliseconds || performance.now() - begun.clock > 15 * limits.milliseconds;
          if (isLate) resolve('late');
          else timer = setTimeout(look, Math.max(10, limits.milliseconds - used));
        };
        timer = setTimeout(look, limits.milliseconds);
      });
      const result = await Promise.race([answered, late]);
      clearTimeout(timer);
      if (result === 'late') return `no end within ${limits.milliseconds} ms`;
      if (result === undefined) return 'the process ended';
      if ((result.rss ?? 0) > most) return `${Math.round((result.rss ?? 0) / 2 ** 20)} MB of memory`;
      return result.unexpected;
    },
  };
}

/** A file with a few changes: bytes set, cut out, doubled, put in, or taken from another file. */
function changed(corpus: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const edit = fc.tuple(fc.nat(4), fc.nat(), fc.nat(64), fc.uint8Array({ minLength: 1, maxLength: 8 }));
  const interesting = fc.constantFrom([0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0x80]);
  return fc
    .tuple(
      fc.constantFrom(...corpus),
      fc.constantFrom(...corpus),
      fc.array(fc.tuple(edit, interesting), { maxLength: 6 }),
    )
    .map(([file, donor, edits]) => {
      let bytes = Buffer.from(file);
      for (const [[kind, at, length, patch], special] of edits) {
        const start = bytes.length === 0 ? 0 : at % bytes.length;
        const before = bytes.subarray(0, start);
        const after = bytes.subarray(start);
        if (kind === 0) bytes = Buffer.concat([before, patch, after.subarray(patch.length)]);
        else if (kind === 1) bytes = Buffer.concat([before, after.subarray(length)]);
        else if (kind === 2) bytes = Buffer.concat([before, after.subarray(0, length), after]);
        else if (kind === 3) bytes = Buffer.concat([before, Buffer.from(special), after.subarray(special.length)]);
        else bytes = Buffer.concat([before, donor.subarray(donor.length === 0 ? 0 : at % donor.length)]);
      }
      return new Uint8Array(bytes);
    });
}

/** Cuts pieces out as long as the same kind of thing goes wrong. */
async function minimal(target: string, bytes: Uint8Array): Promise<Uint8Array> {
  let small = bytes;
  for (let piece = Math.ceil(bytes.length / 2), tries = 0; piece >= 1 && tries < 60; piece = Math.floor(piece / 2)) {
    for (let at = 0; at < small.length && tries < 60; tries++) {
      const shorter = new Uint8Array(Buffer.concat([small.subarray(0, at), small.subarray(at + piece)]));
      const child = await startChild(target);
      const wrong = await child.attempt(shorter);
      child.process.kill('SIGKILL');
      if (wrong === undefined) at += piece;
      else small = shorter;
    }
  }
  return small;
}

async function fuzz(target: string, seconds: number, seed: number): Promise<number> {
  const corpus = targets[target]?.corpus() ?? [];
  if (corpus.length === 0) throw new Error(`There are no files to begin from for ${target}.`);
  const end = performance.now() + seconds * 1000;
  let child = await startChild(target);
  let tries = 0;
  let findings = 0;
  for (let round = 0; performance.now() < end; round++) {
    for (const bytes of fc.sample(changed(corpus), { numRuns: 200, seed: seed + round })) {
      if (performance.now() > end) break;
      tries++;
      const wrong = await child.attempt(bytes);
      if (wrong === undefined) continue;
      findings++;
      child.process.kill('SIGKILL');
      const small = await minimal(target, bytes);
      const name = `${target}-${createHash('sha256').update(small).digest('hex').slice(0, 12)}.bin`;
      mkdirSync(join(root, 'build/fuzz'), { recursive: true });
      writeFileSync(join(root, 'build/fuzz', name), small);
      console.error(
        `${target}: build/fuzz/${name} (${small.length} bytes): ${wrong.split('\n').slice(0, 3).join(' ')}`,
      );
      if (findings >= 5) break;
      child = await startChild(target);
    }
    if (findings >= 5) break;
  }
  child.process.kill('SIGKILL');
  console.log(`${target.padEnd(12)} ${String(tries).padStart(8)} tries, ${findings} findings`);
  return findings;
}

const wanted = positionals.length > 0 ? positionals : Object.keys(targets);
for (const target of wanted)
  if (!Object.hasOwn(targets, target))
    throw new Error(`There is no target ${target}. There are ${Object.keys(targets).join(', ')}.`);
let findings = 0;
for (const target of wanted) findings += await fuzz(target, Number(values.seconds), Number(values.seed));
process.exitCode = findings === 0 ? 0 : 1;
