/** Prompts sent to a server one after another, with what its socket says of each. */

import type { ComfyServer } from './comfy-server.ts';
import type { Graph } from './graphs.ts';
import { SocketClient, type SocketMessage } from './socket-client.ts';

export interface PromptAnswer {
  readonly prompt_id: string;
  readonly number: number;
  readonly node_errors: Readonly<Record<string, unknown>>;
}

export const isType =
  (type: string) =>
  (message: SocketMessage): boolean =>
    'type' in message && message.type === type;

/** The last message of a run. */
export const isEnd = (message: SocketMessage): boolean =>
  'type' in message && message.type === 'executing' && message.data['node'] === null;

export class Session {
  readonly url: string;
  client: SocketClient;
  readonly clientId: string;

  private constructor(url: string, clientId: string, client: SocketClient) {
    this.url = url;
    this.clientId = clientId;
    this.client = client;
  }

  static async open({ url }: ComfyServer, clientId: string, features?: unknown): Promise<Session> {
    return new Session(url, clientId, await SocketClient.connect(url, clientId, features));
  }

  /** Sends a prompt. `more`: further fields of the body. */
  async post(prompt: Graph, more: Readonly<Record<string, unknown>> = {}): Promise<PromptAnswer> {
    return (await this.request('POST', '/prompt', { prompt, client_id: this.clientId, ...more })) as PromptAnswer;
  }

  /** Why a prompt is refused for its nodes; undefined for one that may run. Sends nothing to run. */
  async refusal(graph: Graph): Promise<string | undefined> {
    for (const { class_type } of Object.values(graph))
      if (!(class_type in ((await this.request('GET', `/object_info/${class_type}`)) as object)))
        return `there is no node ${class_type}`;
    return undefined;
  }

  async request(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(this.url + path, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Sends a prompt and waits for its end. */
  async run(
    prompt: Graph,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<{ answer: PromptAnswer; messages: SocketMessage[] }> {
    this.client.take();
    const answer = await this.post(prompt, more);
    await this.client.until(isEnd);
    return { answer, messages: this.client.take() };
  }
}
