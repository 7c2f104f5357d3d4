/** Workflows on a server of this program, by ComfyUI's API: its nodes, a run with what it tells, pictures in and out. */

import { parseExactJson, printExactJson } from 'stable-diffusion-ts/formats/exact-json.ts';
import type { NodeTable } from 'stable-diffusion-ts/workflow/definition.ts';
import { graphObject } from 'stable-diffusion-ts/workflow/graph.ts';
import { newId } from '../history/new-id.ts';
import { ask, type ServerAddress } from '../engines/server-request.ts';
import { nodeTableOf, type OpenedWorkflow } from './opened-workflow.ts';

/** What a run tells. */
export type WorkflowEvent =
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'step'; readonly done: number; readonly total: number }
  | { readonly kind: 'preview'; readonly picture: Blob }
  | { readonly kind: 'pictures'; readonly pictures: readonly File[] }
  | { readonly kind: 'texts'; readonly texts: readonly string[] };

interface FileReference {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: string;
}

interface SocketMessage {
  readonly type: string;
  readonly data: {
    readonly prompt_id?: string;
    readonly node?: string | null;
    readonly value?: number;
    readonly max?: number;
    readonly output?: { readonly images?: readonly FileReference[]; readonly text?: readonly string[] } | null;
    readonly exception_message?: string;
    readonly node_type?: string;
    readonly node_id?: string;
  };
}

/** The server's nodes, with the names of its files. Throws ServerError. */
export async function serverNodes(server: ServerAddress): Promise<NodeTable> {
  return nodeTableOf(parseExactJson(await (await ask(server, 'object_info')).text(), 'The list of nodes'));
}

/** Stores a picture where workflows read theirs; its name there. */
export async function uploadPicture(server: ServerAddress, file: File): Promise<string> {
  const form = new FormData();
  form.append('image', file);
  return ((await (await ask(server, 'upload/image', { form })).json()) as { readonly name: string }).name;
}

/** Ends the workflow under way. */
export const interrupt = (server: ServerAddress): Promise<Response> => ask(server, 'interrupt', { body: {} });

/** The socket's address. A browser can send the key of a server only inside it. */
function socketAddress({ base, apiKey }: ServerAddress, client: string): string {
  const url = new URL(`ws?clientId=${client}`, base);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  if (apiKey) [url.username, url.password] = ['key', apiKey];
  return url.href;
}

/** Bytes before the picture in a binary message: the kind of message, and of picture. */
const previewHead = 8;

/** Messages of a socket, one after another, until it closes. */
class Messages {
  readonly socket: WebSocket;
  readonly #waiting: (MessageEvent | undefined)[] = [];
  #wake: (() => void) | undefined;

  constructor(address: string) {
    this.socket = new WebSocket(address);
    this.socket.binaryType = 'arraybuffer';
    const put = (message: MessageEvent | undefined): void => {
      this.#waiting.push(message);
      this.#wake?.();
    };
    this.socket.addEventListener('message', put);
    this.socket.addEventListener('close', () => put(undefined));
  }

  /** The next one; undefined at the end. */
  async next(): Promise<MessageEvent | undefined> {
    if (this.#waiting.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#waiting.shift();
  }
}

async function picturesOf(server: ServerAddress, images: readonly FileReference[]): Promise<readonly File[]> {
  return Promise.all(
    images.map(async ({ filename, subfolder, type }) => {
      const query = new URLSearchParams({ filename, subfolder, type });
      const blob = await (await ask(server, `view?${query}`)).blob();
      return new File([blob], filename, { type: blob.type });
    }),
  );
}

/** What one message tells, or that the run ended. Throws an Error for people where a node failed. */
async function eventsOf(
  server: ServerAddress,
  { type, data }: SocketMessage,
): Promise<readonly WorkflowEvent[] | 'end'> {
  if (type === 'executing' && typeof data.node === 'string') return [{ kind: 'node', node: data.node }];
  if (type === 'progress') return [{ kind: 'step', done: data.value ?? 0, total: data.max ?? 1 }];
  if (type === 'executed') {
    const { images = [], text = [] } = data.output ?? {};
    return [
      ...(images.length > 0 ? [{ kind: 'pictures', pictures: await picturesOf(server, images) } as const] : []),
      ...(text.length > 0 ? [{ kind: 'texts', texts: text } as const] : []),
    ];
  }
  if (type === 'execution_error')
    throw new Error(`Node ${data.node_id} (${data.node_type}): ${data.exception_message ?? 'it failed.'}`);
  return type === 'execution_success' || type === 'execution_interrupted' ? 'end' : [];
}

const gone = 'The connection to the server ended before the workflow did.';

/** Sends a workflow and follows it to its end. Throws an Error whose message is for people. */
export async function* runOnServer(
  server: ServerAddress,
  { graph, page }: OpenedWorkflow,
): AsyncGenerator<WorkflowEvent, void, void> {
  const client = newId();
  const messages = new Messages(socketAddress(server, client));
  try {
    // The first message tells that the server listens.
    if ((await messages.next()) === undefined) throw new Error('The server refused the connection for workflows.');
    const body = {
      prompt: graphObject(graph),
      client_id: client,
      extra_data: { preview_method: 'auto', ...(page ? { extra_pnginfo: { workflow: page } } : {}) },
    };
    const sent = await ask(server, 'prompt', { text: printExactJson(body) });
    const { prompt_id: id } = (await sent.json()) as { readonly prompt_id: string };
    for (;;) {
      const message = await messages.next();
      if (!message) throw new Error(gone);
      if (message.data instanceof ArrayBuffer) {
        yield { kind: 'preview', picture: new Blob([message.data.slice(previewHead)], { type: 'image/jpeg' }) };
        continue;
      }
      const told = JSON.parse(String(message.data)) as SocketMessage;
      if (told.data.prompt_id !== id) continue;
      const events = await eventsOf(server, told);
      if (events === 'end') return;
      yield* events;
    }
  } finally {
    messages.socket.close();
  }
}
