/** ComfyUI's socket without previews: prompts sent one after another, and what it says of each; then the history of them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { collecting, type Comparisons } from '../comparisons.ts';
import { type ComfyServer, startComfyServer } from '../comfyui/comfy-server.ts';
import { differenceFrom, type Masks } from '../comfyui/masked.ts';
import type { Graph } from '../comfyui/graphs.ts';
import { type RecordedStep, replayStep } from '../comfyui/replay.ts';
import { runSession, type SessionRecord, type Transcripts } from '../comfyui/runs.ts';
import type { PromptAnswer } from '../comfyui/session.ts';
import type { SocketMessage } from '../comfyui/socket-client.ts';
import { compareTranscript } from '../comfyui/transcript.ts';
import type { Reader, RecordedCase } from '../reader.ts';

const isTranscripts = /^transcripts of \/ws, default start/;
const isHistory = /^GET and POST \/history/;

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) =>
    part === 'protocol' && [isTranscripts, isHistory].some((pattern) => pattern.test(String(row['exercises']))),
  compare: collecting(compareSession),
};

const clientId = 'a-client-of-the-parity-program';

async function compareSession(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const values: unknown = JSON.parse(readFileSync(join(recorded.folder, String(recorded.row['values'])), 'utf8'));
  const checkpoints = ['sd1.safetensors', 'broken.safetensors'].map((name) => ({ name }));
  const server = await startComfyServer({
    setFolder: recorded.setFolder,
    models: new Map([['checkpoints', checkpoints]]),
  });
  try {
    if (Array.isArray(values)) await compareHistory(server, values as readonly HistoryEntry[], compare);
    else compareTranscripts(await runSession(server, values as Transcripts, clientId), values as Transcripts, compare);
  } finally {
    await server.stop();
  }
}

/** Numbers count every prompt that a server was sent before: those of a session are compared from its first. */
function compareTranscripts({ transcripts, answers }: SessionRecord, want: Transcripts, compare: Comparisons): void {
  const masks: Masks = new Map([['<client-1>', clientId]]);
  const firstOf = (all: Record<string, unknown>): number =>
    Math.min(...Object.values(all).flatMap((one) => (isAnswer(one) && one.number >= 0 ? [one.number] : [])));
  const [ours, theirs] = [firstOf(answers), firstOf(want)];
  for (const [name, value] of Object.entries(want)) {
    if (isAnswer(value)) {
      const got = answers[name];
      const numbered = got && { ...got, number: got.number - ours };
      const difference = differenceFrom(numbered, { ...value, number: value.number - theirs }, masks);
      compare.exact(name, difference, undefined);
    } else compareTranscript(name, transcripts[name] ?? [], value, masks, compare);
  }
}

const isAnswer = (value: unknown): value is PromptAnswer =>
  typeof value === 'object' && value !== null && 'prompt_id' in value && 'number' in value;

type HistoryEntry = RecordedStep | { readonly note: string; readonly value: readonly string[] };

/** All names of runs that a history tells of. */
const allRuns = [
  'first run',
  'same again',
  'other seed',
  'other text',
  'other prefix only',
  'the first again (only the last prompt is kept)',
  'execution error',
  'two outputs',
  'partial_execution_targets',
  'one output wrong',
  'prompt without client_id: what this client gets',
  'SaveLatent',
  'after /free with free_memory',
];

async function compareHistory(
  server: ComfyServer,
  entries: readonly HistoryEntry[],
  compare: Comparisons,
): Promise<void> {
  const none: readonly SocketMessage[] = [];
  const order = entries.flatMap((entry) => ('value' in entry ? [entry.value] : []))[0] ?? [];
  const want = Object.fromEntries(allRuns.map((name) => [name, none]));
  const graphs = {
    first: graphOf(order[0], entries),
    broken: graphOf(order[allRuns.indexOf('execution error')], entries),
    last: graphOf(order.at(-1), entries),
  };
  const { ids } = await runSession(server, want, clientId, graphs);
  const masks: Masks = new Map([['<client-1>', clientId]]);
  for (const [i, mask] of order.entries()) masks.set(mask, ids[i] ?? '');
  const first = numberIn(entries);
  for (const [i, entry] of entries.entries()) {
    if ('request' in entry)
      await replayStep(entry, `${i}`, { url: server.url, masks, special: numberedFrom(first) }, compare);
    else {
      const response = await fetch(`${server.url}/history`);
      compare.exact(
        entry.note,
        differenceFrom(Object.keys((await response.json()) as object), entry.value, masks),
        undefined,
      );
    }
  }
}

/** The graph that a history tells of a prompt. */
function graphOf(mask: string | undefined, entries: readonly HistoryEntry[]): Graph | undefined {
  for (const entry of entries) {
    const histories = 'request' in entry ? (entry.response.json as Record<string, { prompt: unknown[] }>) : undefined;
    const found = mask === undefined ? undefined : histories?.[mask]?.prompt[2];
    if (found) return found as Graph;
  }
  return undefined;
}

/** The least number of a recorded prompt. */
function numberIn(entries: readonly HistoryEntry[]): number {
  const numbers = [...JSON.stringify(entries).matchAll(/"prompt":\[(\d+),/g)].map(([, number]) => Number(number));
  return Math.min(...numbers);
}

/** Histories with their numbers counted from the first prompt, and without the words of a program that failed. */
function numberedFrom(first: number) {
  const counted = (value: unknown, from: number): unknown =>
    JSON.parse(JSON.stringify(value), (key, inner: unknown) => {
      if (key === 'prompt' && Array.isArray(inner)) return [Number(inner[0]) - from, ...inner.slice(1)];
      if (key === 'exception_message' || key === 'exception_type') return typeof inner;
      if (key === 'traceback') return Array.isArray(inner);
      return key === 'current_outputs' ? [...(inner as string[])].sort() : inner;
    });
  return ({ response }: RecordedStep) =>
    response.json === undefined
      ? undefined
      : { ours: (body: unknown) => counted(body, 0), theirs: counted(response.json, first) };
}
