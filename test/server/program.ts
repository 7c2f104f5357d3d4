/** `sd serve` and `sd worker` as processes of their own, to be killed. */

import { type ChildProcess, spawn } from 'node:child_process';
import { sdWords } from '../programs.ts';

export interface Program {
  readonly process: ChildProcess;
  /** What it wrote to standard error so far. */
  readonly errors: () => string;
  /** Sends a signal and waits for the end. Gives the exit code, or null where the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `sd` and waits until it has written `ready`. Gives what that matched. */
export async function startProgram(
  words: readonly string[],
  ready: RegExp,
  wrapper: readonly string[] = [],
): Promise<Program & { readonly found: RegExpExecArray }> {
  const [command = '', ...rest] = [...wrapper, process.execPath, ...sdWords, ...words];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, errors] = ['', ''];
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const exit = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  const found = await new Promise<RegExpExecArray>((resolve, reject) => {
    child.stdout.on('data', (text: Buffer) => {
      out += text.toString();
      const match = ready.exec(out);
      if (match) resolve(match);
    });
    child.once('error', reject);
    exit.then((code) => reject(new Error(`sd ${words.join(' ')} ended with ${code}: ${errors}`)));
  });
  return {
    process: child,
    errors: () => errors,
    found,
    end(signal) {
      child.kill(signal);
      return exit;
    },
  };
}

export interface ServeProgram extends Program {
  readonly url: string;
}

/** Starts `sd serve` on a free port. */
export async function startServe(words: readonly string[], wrapper: readonly string[] = []): Promise<ServeProgram> {
  const program = await startProgram(
    ['serve', '--port', '0', '--log-level', 'warn', '--threads', '1', ...words],
    /Serving at (\S+)/,
    wrapper,
  );
  return { ...program, url: program.found[1] ?? '' };
}

export const startWork = (redis: string, words: readonly string[], wrapper: readonly string[] = []): Promise<Program> =>
  startProgram(['worker', '--redis', redis, '--log-level', 'warn', '--threads', '1', ...words], /Working for/, wrapper);

/** A job as `/api/v1/jobs` shows it. */
export interface JobView {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly result: { readonly images: readonly { readonly id: string; readonly url: string }[] } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Sends a job; with a key it is sent again until the server has answered. */
export async function postJob(url: string, body: object, key?: string): Promise<JobView> {
  const response = await fetch(`${url}/api/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    body: JSON.stringify(body),
  });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as JobView;
}

export async function getJob(url: string, id: string): Promise<JobView> {
  const response = await fetch(`${url}/api/v1/jobs/${id}`);
  if (response.status !== 200) throw new Error(`job ${id}: ${response.status} ${await response.text()}`);
  return (await response.json()) as JobView;
}

export interface ToldEvent {
  readonly event: string;
  readonly data: unknown;
}

/** The events of a job, until it is finished or the reader stops. */
export async function* jobEvents(url: string, id: string): AsyncGenerator<ToldEvent, void, void> {
  const abort = new AbortController();
  const response = await fetch(`${url}/api/v1/jobs/${id}/events?previews=false`, { signal: abort.signal });
  try {
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      const parts = text.split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) {
        const event = /^event: (.*)$/m.exec(part)?.[1];
        const data = /^data: (.*)$/m.exec(part)?.[1];
        if (event && data) yield { event, data: JSON.parse(data) as unknown };
      }
    }
  } finally {
    abort.abort();
  }
}

/** Resolves when the job is in the middle of its steps. */
export async function untilStep(url: string, id: string): Promise<void> {
  for await (const { event } of jobEvents(url, id)) if (event === 'step') return;
  throw new Error(`job ${id} ended before it was seen to run`);
}

/** The finished job. */
export async function untilFinished(url: string, id: string): Promise<JobView> {
  for await (const { event, data } of jobEvents(url, id))
    if (event === 'result' || event === 'error') return data as JobView;
  return getJob(url, id);
}
