/**
 * What ComfyUI's official page asks of a server at its start, at two runs and at a reload: the same requests are sent again, and the messages
 * of its socket compared. Files of the page itself are not part of this project.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ExactObject, parseExactJson, printExactJson } from '../../../src/formats/exact-json.ts';
import { graphObject } from '../../../src/workflow/graph.ts';
import { nodes } from '../../../src/workflow/nodes/index.ts';
import { anyGraph } from '../../../src/workflow/page/page-to-api.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { startComfyServer } from '../comfyui/comfy-server.ts';
import type { Graph } from '../comfyui/graphs.ts';
import { differenceFrom, type Masks } from '../comfyui/masked.ts';
import { SocketClient, type SocketMessage } from '../comfyui/socket-client.ts';
import { compareTranscript } from '../comfyui/transcript.ts';
import { isEnd } from '../comfyui/session.ts';
import type { Reader, RecordedCase } from '../reader.ts';

type Entry = {
  readonly phase: string;
  readonly method?: 'GET' | 'POST';
  readonly url?: string;
  readonly status?: number;
  readonly body?: string;
  readonly content_type?: string;
  readonly answer?: string;
  readonly request_headers?: Readonly<Record<string, string>>;
  readonly ws?: 'sent' | 'received';
  readonly message?: SocketMessage;
};

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) => part === 'protocol' && /^what comfyui-frontend-package/.test(String(row['exercises'])),
  compare: collecting(comparePage),
};

const clientId = 'the-page-of-the-parity-program';

async function comparePage(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { log } = JSON.parse(readFileSync(join(recorded.folder, String(recorded.row['values'])), 'utf8')) as {
    readonly log: readonly Entry[];
  };
  const models = new Map([['checkpoints', [{ name: checkpointIn(log) }]]]);
  const server = await startComfyServer({ setFolder: recorded.setFolder, models });
  const masks: Masks = new Map([[clientMask(log), clientId]]);
  try {
    // The recording's server had been used before.
    await fetch(`${server.url}/settings`, { method: 'POST', body: '{}' });
    for (const [i, { body }] of log.entries())
      if (body && /"workflow":/.test(body)) comparePrompt(`${i}`, body, compare);
    for (const phase of new Set(log.map((entry) => entry.phase))) {
      const entries = log.filter((entry) => entry.phase === phase);
      await comparePhase(phase, entries, server.url, masks, compare);
    }
  } finally {
    await server.stop();
  }
}

/** What the page sends is what its own form of the workflow becomes. */
function comparePrompt(name: string, body: string, compare: Comparisons): void {
  const { prompt, extra_data: extra } = parseExactJson(body, name) as unknown as {
    readonly prompt: unknown;
    readonly extra_data: { readonly extra_pnginfo: { readonly workflow: ExactObject } };
  };
  const own = anyGraph(extra.extra_pnginfo.workflow, { nodes });
  compare.exact(`${name}: the page's workflow`, printExactJson(graphObject(own)), printExactJson(prompt));
}

const checkpointIn = (log: readonly Entry[]): string =>
  /"ckpt_name":"([^"]+)"/.exec(
    log.find(({ url, method }) => method === 'POST' && url === '/api/prompt')?.body ?? '',
  )?.[1] ?? 'sd1.safetensors';

const clientMask = (log: readonly Entry[]): string =>
  /<id[-\d]*>/.exec(JSON.stringify(log.find(({ ws }) => ws === 'received') ?? {}))?.[0] ?? '<id>';

const received = (entries: readonly Entry[]): readonly SocketMessage[] =>
  entries.flatMap(({ ws, message }) => (ws === 'received' && message ? [message] : []));

async function comparePhase(
  phase: string,
  entries: readonly Entry[],
  url: string,
  masks: Masks,
  compare: Comparisons,
): Promise<void> {
  const first = entries.find(({ ws }) => ws === 'sent')?.message;
  const client = await SocketClient.connect(url, clientId, first);
  const wanted = received(entries);
  const isRun = wanted.some(isEnd);
  // A connection of its own tells its state first, which the page's own had told before.
  await client.until(
    (message) => 'type' in message && message.type === (first === undefined ? 'status' : 'feature_flags'),
  );
  if (isRun) client.take();
  for (const [i, entry] of entries.entries())
    if (entry.url !== undefined && isOfServer(entry))
      await compareRequest(`${phase} ${i}`, entry, url, client, masks, compare);
  if (wanted.length > 0) compareTranscript(phase, client.take(), wanted, masks, compare);
  client.close();
}

/** Requests that the API answers: not the page's files, and not those that the page gave up. */
const isOfServer = ({ url = '', status }: Entry): boolean => url.startsWith('/api/') && status !== undefined;

async function compareRequest(
  label: string,
  entry: Entry,
  url: string,
  client: SocketClient,
  masks: Masks,
  compare: Comparisons,
): Promise<void> {
  const { method = 'GET', url: path = '', status, body, answer, content_type: type, request_headers: headers } = entry;
  const isPrompt = method === 'POST' && path === '/api/prompt';
  const sent = isPrompt ? withClient(body ?? '{}') : body;
  const response = await fetch(url + path.replace('<number>', '1'), {
    method,
    headers: headers ?? {},
    ...(sent === undefined ? {} : { body: sent }),
  });
  const name = `${label}: ${method} ${path}`;
  compare.exact(`${name}: status`, response.status, status);
  if (type !== undefined)
    compare.exact(`${name}: type`, response.headers.get('content-type')?.toLowerCase(), type.toLowerCase());
  const text = await response.text();
  if (isPrompt) await client.until(isEnd);
  // Answers of the machine, of the page's own files, and of a queue that changes with time are compared in other cases.
  if (answer === undefined || /system_stats|extensions|experiment|\/queue|\/history/.test(path)) return;
  compare.exact(name, differenceFrom(parsed(text), parsed(answer), masks), undefined);
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** The recorded prompt, from our client. */
function withClient(body: string): string {
  const prompt = JSON.parse(body) as { client_id: string; prompt: Graph };
  return JSON.stringify({ ...prompt, client_id: clientId });
}
