/** Tries a scenario with one fault: a process that ends at its n-th write, or whose disk is full there; then the check of what it promised. */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Said } from './scenario.ts';
import { scenarios } from './scenarios.ts';
import { trainingScenario } from './training.ts';

export type FaultKind = 'kill' | 'half' | 'full';

/** A scenario as a process: the words for Node, and the check afterwards. */
interface Trial {
  readonly words: (folder: string) => readonly string[];
  readonly check: (folder: string, said: Said) => Promise<void>;
}

const here = import.meta.dirname;
const root = join(here, '../..');

/** One file of plain JavaScript, which starts far sooner than the sources. */
const program = mkdtempSync(join(tmpdir(), 'sd-faults-'));
process.on('exit', () => rmSync(program, { recursive: true, force: true }));
symlinkSync(join(root, 'node_modules'), join(program, 'node_modules'));
await build({
  entryPoints: [join(here, 'child.ts')],
  outfile: join(program, 'child.mjs'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  packages: 'external',
});

const trials: Readonly<Record<string, Trial>> = {
  ...Object.fromEntries(
    Object.entries(scenarios).map(([name, { check }]) => [
      name,
      { check, words: (folder: string) => [join(program, 'child.mjs'), name, folder] },
    ]),
  ),
  training: trainingScenario(root),
};

export const scenarioNames = Object.keys(trials);

interface Ended {
  readonly said: Said;
  /** Calls that write, of the thread with the most. */
  readonly writes: number;
  readonly errors: string;
  readonly code: number | null;
}

async function runUnder(trial: Trial, folder: string, fault: string): Promise<Ended> {
  const report = join(folder, '..', `${Math.random().toString(36).slice(2)}.report`);
  const child = spawn(process.execPath, ['--import', join(here, 'at-write.mjs'), ...trial.words(folder)], {
    cwd: root,
    env: { ...process.env, SD_FAULT: fault, SD_FAULT_REPORT: report },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, errors] = ['', ''];
  child.stdout.on('data', (data) => {
    out += String(data);
  });
  child.stderr.on('data', (data) => {
    errors += String(data);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const said = new Map<string, string[]>();
  // A line that was not finished was not said.
  for (const line of out.split('\n').slice(0, -1)) {
    const [event = '', ...words] = line.split(' ');
    said.set(event, [...(said.get(event) ?? []), words.join(' ')]);
  }
  let writes = 0;
  try {
    for (const line of readFileSync(report, 'utf8').trim().split('\n'))
      writes = Math.max(writes, Number(line.split(' ')[1]));
    rmSync(report);
  } catch {
    // It was killed before it could report.
  }
  return { said, writes, errors, code };
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const outer = mkdtempSync(join(tmpdir(), 'sd-fault-'));
  try {
    const folder = mkdtempSync(join(outer, 'work-'));
    return await work(folder);
  } finally {
    rmSync(outer, { recursive: true, force: true });
  }
}

const trialOf = (name: string): Trial => {
  const trial = trials[name];
  if (!trial) throw new Error(`There is no scenario ${name}. There are ${scenarioNames.join(', ')}.`);
  return trial;
};

/** The number of writes of a scenario without a fault, which is checked too. */
export function countWrites(name: string): Promise<number> {
  return inFolder(async (folder) => {
    const trial = trialOf(name);
    const { said, writes, errors, code } = await runUnder(trial, folder, 'count:0');
    if (code !== 0) throw new Error(`${name} without a fault ended with ${code}: ${errors}`);
    await trial.check(folder, said);
    return writes;
  });
}

/** Tries one point. Gives what was broken, or undefined. */
export function tryFault(name: string, kind: FaultKind, at: number): Promise<string | undefined> {
  return inFolder(async (folder) => {
    const trial = trialOf(name);
    const { said, errors, code } = await runUnder(trial, folder, `${kind}:${at}`);
    // A full disk is an error with a word, not an end in the midst.
    if (kind === 'full' && (code === null || /internal|at .*\.ts:\d+/.test(errors)))
      return `ended with ${code}: ${errors.slice(0, 300)}`;
    try {
      await trial.check(folder, said);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message.split('\n').slice(0, 4).join(' ') : String(error);
    }
  });
}
