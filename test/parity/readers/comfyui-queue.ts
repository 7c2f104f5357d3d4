/** ComfyUI's queue while prompts run: previews, interrupts, what waits and in which order, over the socket and in answers. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { collecting, type Comparisons } from '../comparisons.ts';
import { standInPicture, startComfyServer } from '../comfyui/comfy-server.ts';
import type { Graph } from '../comfyui/graphs.ts';
import { differenceFrom, type Masks } from '../comfyui/masked.ts';
import { type RecordedStep, replayStep } from '../comfyui/replay.ts';
import type { Transcripts } from '../comfyui/runs.ts';
import { slowEngine } from '../comfyui/slow-engine.ts';
import { type Moment, type SlowPlan, type SlowRecord, SlowSession } from '../comfyui/slow-session.ts';
import type { SocketMessage } from '../comfyui/socket-client.ts';
import { compareTranscript } from '../comfyui/transcript.ts';
import type { Reader, RecordedCase } from '../reader.ts';

const isTranscripts = /^previews \(--preview-method latent2rgb\), interrupt/;
const isQueue = /^GET and POST \/queue/;

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) =>
    part === 'protocol' && [isTranscripts, isQueue].some((pattern) => pattern.test(String(row['exercises']))),
  compare: collecting(compareSession),
};

const clientId = 'a-client-of-the-parity-program';

async function compareSession(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const values: unknown = JSON.parse(readFileSync(join(recorded.folder, String(recorded.row['values'])), 'utf8'));
  const folders = { setFolder: recorded.setFolder, models: new Map([['checkpoints', [{ name: 'sd1.safetensors' }]]]) };
  const server = await startComfyServer(folders, { engine: slowEngine(), comfyuiPreviews: true });
  const first = firstPicture(values) ?? 1;
  if (first > 1) standInPicture(server, `ComfyUI_${String(first - 1).padStart(5, '0')}_.png`);
  try {
    if (Array.isArray(values)) {
      await SlowSession.run(server, queuePlan(values as readonly RecordedStep[], server.url, compare));
      return;
    }
    const want = values as Transcripts;
    const made = await SlowSession.run(server, { want, clientId, graphs: new Map(), at: async () => {} });
    compareTranscripts(made, want, compare);
  } finally {
    await server.stop();
  }
}

function compareTranscripts({ transcripts, answers }: SlowRecord, want: Transcripts, compare: Comparisons): void {
  const masks: Masks = new Map([['<client-1>', clientId]]);
  for (const [name, value] of Object.entries(want)) {
    const isMessages = Array.isArray(value) && value.some((message) => 'type' in message || 'binary' in message);
    if (!isMessages) compare.exact(name, differenceFrom(answers[name], value, masks), undefined);
    else compareStreams(name, transcripts[name] ?? [], value as readonly SocketMessage[], masks, compare);
  }
}

/** States of the queue that requests bring about fall among the steps by chance: they are compared in an order of their own. */
function compareStreams(
  name: string,
  got: readonly SocketMessage[],
  want: readonly SocketMessage[],
  masks: Masks,
  compare: Comparisons,
): void {
  const isStatus = (message: SocketMessage): boolean => 'type' in message && message.type === 'status';
  compareTranscript(`${name}, states`, got.filter(isStatus), want.filter(isStatus), masks, compare);
  const others = (messages: readonly SocketMessage[]) => messages.filter((message) => !isStatus(message));
  compareTranscript(name, others(got), others(want), masks, compare);
}

/** The number of the first picture that the recording wrote. */
function firstPicture(values: unknown): number | undefined {
  const numbers = [...JSON.stringify(values).matchAll(/"filename":"ComfyUI_(\d{5})_\.png"/g)].map(([, digits]) =>
    Number(digits),
  );
  return numbers.length === 0 ? undefined : Math.min(...numbers);
}

/** The recorded requests at their moments. Those that change the queue are part of the session. */
function queuePlan(steps: readonly RecordedStep[], url: string, compare: Comparisons): SlowPlan {
  const masks: Masks = new Map([['<client-1>', clientId]]);
  const moments: Readonly<Record<Moment, readonly number[]>> = momentsOf(steps);
  return {
    want: {},
    clientId,
    graphs: graphsOf(steps),
    async at(moment, ids) {
      for (const [i, id] of ids.entries()) masks.set(`<prompt-${i + 1}>`, id);
      for (const index of moments[moment])
        await replayStep(steps[index] as RecordedStep, `${index}`, { url, masks }, compare);
    },
  };
}

/** Which requests belong to which moment: an interrupt or a deletion ends one. */
function momentsOf(steps: readonly RecordedStep[]): Record<Moment, readonly number[]> {
  const found: Record<Moment, number[]> = { running: [], interrupted: [], waiting: [], targeted: [], idle: [] };
  let moment: Moment = 'running';
  for (const [i, { request, response }] of steps.entries()) {
    const isChange = request.method === 'POST';
    const waits = (response.json as { queue_pending?: unknown[] } | undefined)?.queue_pending ?? [];
    if (moment === 'running' && isChange) moment = 'interrupted';
    else if (moment === 'interrupted' && waits.length > 0) moment = 'waiting';
    else if (moment === 'waiting' && JSON.stringify(request.json ?? {}).includes('clear')) moment = 'targeted';
    if (request.raw !== undefined) moment = 'idle';
    const isSent = isChange && moment !== 'waiting' && moment !== 'idle';
    if (!isSent) found[moment].push(i);
  }
  return found;
}

/** Graphs by the number of their prompt, from the queues and histories. */
function graphsOf(steps: readonly RecordedStep[]): Map<number, Graph> {
  const graphs = new Map<number, Graph>();
  for (const { response } of steps) {
    const text = JSON.stringify(response.json ?? null);
    JSON.parse(text, (_, value: unknown) => {
      if (!Array.isArray(value) || value.length !== 5 || typeof value[2] !== 'object') return value;
      const index = /^<prompt-(\d+)>$/.exec(String(value[1]))?.[1];
      if (index !== undefined) graphs.set(Number(index) - 1, value[2] as Graph);
      return value;
    });
  }
  return graphs;
}
