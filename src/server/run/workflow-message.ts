/** What a running workflow tells: the events of its nodes as JSON, for sockets and for its history. */

import type { WorkflowEvent } from '../../workflow/events.ts';

type EventOf<K extends WorkflowEvent['kind']> = Extract<WorkflowEvent, { readonly kind: K }>;
type Timed = { readonly timestamp: number };

/** The events of a run (`workflow/events.ts`) with their time; previews are JPEG as base64, and errors have ComfyUI's fields. */
export type WorkflowMessage =
  | (EventOf<'start' | 'cached' | 'success' | 'interrupted'> & Timed)
  | EventOf<'executing' | 'executed' | 'finished'>
  | (Omit<EventOf<'progress'>, 'preview'> & { readonly preview?: string | undefined })
  | ({ readonly kind: 'error'; readonly error: WorkflowFailure } & Timed);

/** As ComfyUI names the fields. */
export interface WorkflowFailure {
  readonly node_id: string;
  readonly node_type: string;
  readonly executed: readonly string[];
  readonly exception_message: string;
  readonly exception_type: string;
  readonly traceback: readonly string[];
  readonly current_inputs: Readonly<Record<string, readonly unknown[]>>;
  readonly current_outputs: readonly string[];
}

/** The messages that a history keeps, by their names in ComfyUI's API; undefined for the others. */
export function historyMessage(
  message: WorkflowMessage,
  promptId: string,
): [name: string, data: Record<string, unknown>] | undefined {
  const id = { prompt_id: promptId };
  switch (message.kind) {
    case 'start':
      return ['execution_start', { ...id, timestamp: message.timestamp }];
    case 'cached':
      return ['execution_cached', { nodes: message.nodes, ...id, timestamp: message.timestamp }];
    case 'success':
      return ['execution_success', { ...id, timestamp: message.timestamp }];
    case 'error':
      return ['execution_error', { ...id, ...message.error, timestamp: message.timestamp }];
    case 'interrupted': {
      const { node, nodeType, executed, timestamp } = message;
      return ['execution_interrupted', { ...id, node_id: node, node_type: nodeType, executed, timestamp }];
    }
    default:
      return undefined;
  }
}
