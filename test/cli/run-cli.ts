/** Runs the CLI within the test's process, and as a process. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { runCli } from '../../src/cli/program.ts';
import { sdWords } from '../programs.ts';

export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CliSetting {
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Both outputs are terminals of that many columns. */
  readonly columns?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array, void, void> {
  const bytes = new TextEncoder().encode(text);
  // In small pieces, so that characters and lines are cut.
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

export async function sd(words: readonly string[], setting: CliSetting = {}): Promise<CliResult> {
  const out: string[] = [];
  const err: string[] = [];
  const terminal = { isTerminal: setting.columns !== undefined, columns: setting.columns ?? 100 };
  const code = await runCli(
    words,
    {
      out: { ...terminal, write: (text) => void out.push(text) },
      err: { ...terminal, write: (text) => void err.push(text) },
      input: bytesOf(setting.input ?? ''),
      environment: setting.environment ?? {},
      signal: setting.signal ?? new AbortController().signal,
      now: () => performance.now(),
    },
    '1.2.3',
  );
  return { code, out: out.join(''), err: err.join('') };
}

/** A new folder that is gone after the test. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-cli-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `sd` in a process of its own. */
export function startSd(words: readonly string[], cwd: string): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [...sdWords, ...words], { cwd });
}
