/** The messages of one running workflow in ComfyUI's words and order, from what its worker tells. */

import { historyMessage, type WorkflowMessage } from '../run/workflow-message.ts';

/** A message of the socket: JSON, or a picture on the way. */
export type SocketMessage =
  | { readonly type: string; readonly data: unknown }
  | { readonly preview: Uint8Array; readonly node: string; readonly promptId: string };

export interface Told {
  readonly message: SocketMessage;
  /** Whether it goes to everybody of the caller where the workflow has no socket of its own; others are then not sent. */
  readonly forAll: boolean;
  /** A preview is sent before the number of the step to clients that read its metadata, and behind it to others. */
  readonly to?: 'new' | 'old';
}

interface NodeState {
  readonly value: number;
  readonly max: number;
  readonly state: 'running' | 'finished';
}

/** Nodes of a state: a graph has 10,000 at most, and each step tells all of them. */
const mostNodes = 1000;

export class RunMessages {
  readonly #promptId: string;
  readonly #nodes = new Map<string, NodeState>();
  #isHeard = true;
  /** The node that runs. */
  executing: string | undefined;

  constructor(promptId: string) {
    this.#promptId = promptId;
  }

  #own(type: string, data: Readonly<Record<string, unknown>>): Told {
    return { message: { type, data: { ...data, prompt_id: this.#promptId } }, forAll: false };
  }

  #state(): readonly Told[] {
    if (!this.#isHeard) return [];
    const nodes = Object.fromEntries(
      [...this.#nodes].map(([id, { value, max, state }]) => [
        id,
        {
          value,
          max,
          state,
          node_id: id,
          prompt_id: this.#promptId,
          display_node_id: id,
          parent_node_id: null,
          real_node_id: id,
        },
      ]),
    );
    return [{ message: { type: 'progress_state', data: { prompt_id: this.#promptId, nodes } }, forAll: true }];
  }

  /** Keeps the state of a node. Every step sends all states, so the oldest is dropped if there are too many. */
  #note(node: string, state: NodeState): void {
    if (!this.#nodes.has(node) && this.#nodes.size >= mostNodes) {
      const [oldest] = this.#nodes.keys();
      if (oldest !== undefined) this.#nodes.delete(oldest);
    }
    this.#nodes.set(node, state);
  }

  /** What is sent for something that the worker told. `isHeard`: whether anybody listens; if not, states of all nodes are left out. */
  of(told: WorkflowMessage, isHeard = true): readonly Told[] {
    this.#isHeard = isHeard;
    switch (told.kind) {
      case 'executing':
        this.executing = told.node;
        this.#note(told.node, { value: 0, max: 1, state: 'running' });
        return [...this.#state(), this.#own('executing', { node: told.node, display_node: told.node })];
      case 'progress':
        return this.#progress(told);
      case 'executed':
        return [this.#own('executed', { node: told.node, display_node: told.node, output: told.output })];
      case 'finished': {
        const { max = 1 } = this.#nodes.get(told.node) ?? {};
        this.#note(told.node, { value: max, max, state: 'finished' });
        return this.#state();
      }
      default: {
        const [type, data] = historyMessage(told, this.#promptId) ?? [];
        return type === undefined ? [] : [{ message: { type, data }, forAll: told.kind === 'interrupted' }];
      }
    }
  }

  #progress({ node, value, max, preview }: Extract<WorkflowMessage, { kind: 'progress' }>): readonly Told[] {
    this.#note(node, { value, max, state: 'running' });
    const number: Told = {
      message: { type: 'progress', data: { value, max, prompt_id: this.#promptId, node } },
      forAll: true,
    };
    if (preview === undefined) return [...this.#state(), number];
    const picture = (to: 'new' | 'old'): Told => ({
      message: { preview: Buffer.from(preview, 'base64'), node, promptId: this.#promptId },
      forAll: true,
      to,
    });
    return [...this.#state(), picture('new'), number, picture('old')];
  }

  /** Behind the end of the run. */
  ended(): Told {
    return this.#own('executing', { node: null });
  }
}

/** Words at the beginning of binary messages: big-endian. */
const words = { preview: 1, previewWithMetadata: 4, jpeg: 1 };

function withWords(numbers: readonly number[], ...parts: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(4 * numbers.length);
  for (const [i, number] of numbers.entries()) head.writeUInt32BE(number, 4 * i);
  return Buffer.concat([head, ...parts]);
}

/** A JPEG preview as a binary message. */
export function previewFrame(
  { preview, node, promptId }: Extract<SocketMessage, { preview: unknown }>,
  withMetadata: boolean,
): Buffer {
  if (!withMetadata) return withWords([words.preview, words.jpeg], preview);
  const metadata = Buffer.from(
    JSON.stringify({
      node_id: node,
      prompt_id: promptId,
      display_node_id: node,
      parent_node_id: null,
      real_node_id: node,
      image_type: 'image/jpeg',
    }),
  );
  return withWords([words.previewWithMetadata, metadata.length], metadata, preview);
}
