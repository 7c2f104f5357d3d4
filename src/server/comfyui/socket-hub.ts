/**
 * SocketHub: the open sockets of ComfyUI's API and the workflows that wait or run. Each state of the queue goes to all sockets of the
 * caller; what a workflow tells goes to the socket that sent it.
 */

import { randomUUID } from 'node:crypto';
import { isFinished, isWorkflowJob, type Job, type WorkflowJob } from '../job.ts';
import type { JobEvent } from '../job-event.ts';
import type { JobQueue } from '../queue/queue.ts';
import { previewFrame, RunMessages, type SocketMessage, type Told } from './run-messages.ts';

/** The side of a socket that the hub needs. */
export interface Socket {
  send(data: string | Buffer): void;
  /** Ends the connection; what is not sent is dropped. */
  terminate(): void;
  /** Bytes that are not sent yet. */
  readonly bufferedAmount: number;
}

interface Client {
  readonly id: string;
  readonly owner: string;
  readonly socket: Socket;
  /** What its first message said that it can do. */
  features: Readonly<Record<string, unknown>> | undefined;
  isFirst: boolean;
}

interface OpenWorkflow {
  readonly job: WorkflowJob;
  readonly run: RunMessages;
}

/** A client that reads nothing gets no previews from so many bytes on, and is let go at ten times as many. */
const slowBytes = 4 * 2 ** 20;

/** Bytes that the sockets of one caller hold together; beyond it the one that is to get more is let go. */
const heldBytes = 64 * 2 ** 20;

export class SocketHub {
  readonly #clients = new Map<string, Client>();
  readonly #sockets = new Map<string, number>();
  readonly #open = new Map<string, OpenWorkflow>();
  readonly #serverFeatures: Readonly<Record<string, unknown>>;

  constructor(queue: JobQueue, serverFeatures: Readonly<Record<string, unknown>>) {
    this.#serverFeatures = serverFeatures;
    queue.subscribe((event) => this.#onEvent(event));
  }

  /** Workflows of a caller that wait or run, in the order in which they came. */
  open(owner: string): readonly WorkflowJob[] {
    return [...this.#open.values()].flatMap(({ job }) => (job.owner === owner ? [job] : []));
  }

  /** Workflows that were there when the server started. */
  restore(jobs: readonly Job[]): void {
    for (const job of jobs) if (isWorkflowJob(job) && !isFinished(job) && !this.#open.has(job.id)) this.#note(job);
  }

  #note(job: WorkflowJob): OpenWorkflow {
    const noted = { job, run: this.#open.get(job.id)?.run ?? new RunMessages(job.request.promptId) };
    this.#open.set(job.id, noted);
    return noted;
  }

  #onEvent(event: JobEvent): void {
    if (event.kind === 'workflow') {
      const open = this.#open.get(event.id);
      if (!open) return;
      const { run, job } = open;
      for (const told of run.of(event.message, this.count(job.owner) > 0)) this.#tell(told, job);
    } else if (event.kind === 'state' && isWorkflowJob(event.job)) this.#onState(event.job);
  }

  #onState(job: WorkflowJob): void {
    const known = this.#open.get(job.id);
    if (isFinished(job)) {
      if (!known) return;
      this.#open.delete(job.id);
      this.#tellStatus(job.owner);
      if (known.job.state === 'running') this.#tell(known.run.ended(), job);
      return;
    }
    // A job may be taken before the news that it waits is here: it counts once for each, in this order.
    if (!known) {
      this.#note({ ...job, state: 'queued' });
      this.#tellStatus(job.owner);
    }
    if (job.state !== 'running' || known?.job.state === 'running') return;
    this.#note(job);
    this.#tellStatus(job.owner);
  }

  /** Takes a socket in, under the client's own name if it gives one; an older socket of that name gets no more messages. Gives its end. */
  connect(owner: string, given: string | undefined, socket: Socket): { receive(text: string): void; close(): void } {
    const id = given && given.length <= 200 ? given : randomUUID().replaceAll('-', '');
    const key = JSON.stringify([owner, id]);
    const client: Client = { id, owner, socket, features: undefined, isFirst: true };
    this.#clients.set(key, client);
    this.#sockets.set(owner, this.count(owner) + 1);
    let isOpen = true;
    this.#send(client, { type: 'status', data: { ...this.#status(owner), sid: id } });
    const running = this.open(owner).find(({ state, request }) => state === 'running' && request.clientId === id);
    const node = running && this.#open.get(running.id)?.run.executing;
    if (node !== undefined) this.#send(client, { type: 'executing', data: { node } });
    return {
      receive: (text) => this.#receive(client, text),
      close: () => {
        if (isOpen) this.#leave(owner);
        isOpen = false;
        if (this.#clients.get(key) === client) this.#clients.delete(key);
      },
    };
  }

  /** Open sockets of a caller, those whose name another has taken over too. */
  count(owner: string): number {
    return this.#sockets.get(owner) ?? 0;
  }

  #leave(owner: string): void {
    const left = this.count(owner) - 1;
    if (left > 0) this.#sockets.set(owner, left);
    else this.#sockets.delete(owner);
  }

  /** Only the first message of a client counts, and only its features. */
  #receive(client: Client, text: string): void {
    if (!client.isFirst) return;
    client.isFirst = false;
    try {
      const message = JSON.parse(text) as { type?: unknown; data?: unknown };
      if (message?.type !== 'feature_flags') return;
      client.features = typeof message.data === 'object' && message.data !== null ? { ...message.data } : {};
      this.#send(client, { type: 'feature_flags', data: this.#serverFeatures });
    } catch {
      // Not JSON: ComfyUI ignores it too.
    }
  }

  #status(owner: string): { readonly status: unknown } {
    return { status: { exec_info: { queue_remaining: this.open(owner).length } } };
  }

  #tellStatus(owner: string): void {
    for (const client of this.#clients.values())
      if (client.owner === owner) this.#send(client, { type: 'status', data: this.#status(owner) });
  }

  #tell({ message, forAll, to }: Told, { owner, request: { clientId } }: WorkflowJob): void {
    if (clientId === undefined && !forAll) return;
    for (const client of this.#clients.values()) {
      if (client.owner !== owner || (clientId !== undefined && client.id !== clientId)) continue;
      const isNew = client.features?.['supports_preview_metadata'] === true;
      if (to === undefined || (to === 'new') === isNew) this.#send(client, message);
    }
  }

  /** Bytes that a caller's clients have not read. */
  #held(owner: string): number {
    let bytes = 0;
    for (const client of this.#clients.values()) if (client.owner === owner) bytes += client.socket.bufferedAmount;
    return bytes;
  }

  #send({ owner, socket, features }: Client, message: SocketMessage): void {
    const isPreview = 'preview' in message;
    if (isPreview && socket.bufferedAmount > slowBytes) return;
    const isSlow = socket.bufferedAmount > slowBytes / 16;
    if (socket.bufferedAmount > 10 * slowBytes || (isSlow && this.#held(owner) > heldBytes)) socket.terminate();
    else if (isPreview) socket.send(previewFrame(message, features?.['supports_preview_metadata'] === true));
    else socket.send(JSON.stringify(message));
  }
}
