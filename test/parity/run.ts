/** Runs recorded cases through their readers: for every case its comparisons and a verdict. */

import type { Comparison, Reader, RecordedCase } from './reader.ts';
import { disposeParityEngine } from './engine.ts';
import { reasonNotRead } from './not-read.ts';
import { readers } from './readers.ts';
import { casesOf, setsOf } from './recorded-cases.ts';

export type { Comparison } from './reader.ts';

export type Verdict = 'pass' | 'fail' | 'not read' | 'unread';

export interface CaseResult {
  readonly set: string;
  readonly part: string;
  readonly name: string;
  readonly verdict: Verdict;
  readonly comparisons: readonly Comparison[];
  /** Why it failed or is not read. */
  readonly reason?: string | undefined;
}

export interface RunOptions {
  readonly root: string;
  /** Names of sets; all where empty. */
  readonly sets?: readonly string[] | undefined;
  /** Runs the cases whose `set/part/name` contains it. */
  readonly only?: string | undefined;
}

/** Every case of the folder, one result after another. */
export async function* runCases({ root, sets = [], only = '' }: RunOptions): AsyncGenerator<CaseResult> {
  const known = setsOf(root);
  const unknown = sets.filter((set) => !known.includes(set));
  if (unknown.length > 0) throw new Error(`${root} has no set ${unknown.join(', ')}; it has ${known.join(', ')}.`);
  for (const set of known.filter((name) => sets.length === 0 || sets.includes(name))) {
    const cases = casesOf(root, set).filter((one) => titleOf(one).includes(only));
    if (cases.length === 0) continue;
    const rows = readers.filter((row) => row.set === set);
    const loaded = await Promise.all(rows.map(async (row) => (await row.load()).reader));
    try {
      for (const recorded of cases) yield await runCase(recorded, loaded);
    } finally {
      for (const reader of loaded) await reader.dispose?.();
      disposeParityEngine();
    }
  }
}

/** `diffusion/samplers/k/euler`. */
export function titleOf({ set, part, name }: Pick<CaseResult, 'set' | 'part' | 'name'>): string {
  return [set, part, name].filter(Boolean).join('/');
}

export async function runCase(recorded: RecordedCase, among: readonly Reader[]): Promise<CaseResult> {
  const { set, part, name } = recorded;
  const comparisons: Comparison[] = [];
  const result = (verdict: Verdict, reason?: string): CaseResult => ({ set, part, name, verdict, comparisons, reason });
  const able = among.filter((reader) => reader.reads(recorded.row, part));
  if (able.length === 0) {
    const reason = reasonNotRead(recorded);
    return reason === undefined ? result('unread', 'no reader reads this case') : result('not read', reason);
  }
  try {
    for (const reader of able) for await (const one of reader.compare(recorded)) comparisons.push(one);
  } catch (cause) {
    return result('fail', cause instanceof Error ? cause.message : String(cause));
  }
  return verdictOf(recorded, comparisons, result);
}

/** Passes where something was compared, everything within its tolerance, and every output of the index has its comparison. */
function verdictOf(
  { row }: RecordedCase,
  comparisons: readonly Comparison[],
  result: (verdict: Verdict, reason?: string) => CaseResult,
): CaseResult {
  const compared = comparisons.filter(({ skipped }) => skipped === undefined);
  if (compared.length === 0) return result('fail', 'nothing was compared');
  const worse = compared.filter(({ error, tolerance }) => !(error <= tolerance));
  if (worse.length > 0) {
    const names = worse
      .slice(0, 5)
      .map(({ item, output, error, tolerance, note }) =>
        [item, output, `error ${error} above ${tolerance}`, note].filter(Boolean).join(' '),
      );
    return result('fail', `${worse.length} of ${compared.length} comparisons: ${names.join('; ')}`);
  }
  const seen = new Set(comparisons.map(({ output }) => output));
  const missing = outputsOf(row).filter((output) => !seen.has(output));
  if (missing.length > 0)
    return result('fail', `recorded outputs that were not compared: ${missing.slice(0, 8).join(', ')}`);
  return result('pass');
}

/** Names of the outputs that the row lists, without those that are said to be equal to another one. */
function outputsOf({ outputs }: RecordedCase['row']): string[] {
  if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs)) return [];
  return Object.entries(outputs)
    .filter(([, value]) => !(typeof value === 'object' && value !== null && 'same_as' in value))
    .map(([name]) => name);
}
