/** What a running workflow tells: the events of its nodes as JSON, for sockets and for its history. */

export type WorkflowMessage =
  | { readonly kind: 'start'; readonly timestamp: number }
  /** Nodes whose values are kept from before. */
  | { readonly kind: 'cached'; readonly nodes: readonly string[]; readonly timestamp: number }
  | { readonly kind: 'executing'; readonly node: string }
  | {
      readonly kind: 'progress';
      readonly node: string;
      readonly value: number;
      readonly max: number;
      /** JPEG as base64. */
      readonly preview?: string | undefined;
    }
  | { readonly kind: 'executed'; readonly node: string; readonly output: Readonly<Record<string, unknown>> }
  | { readonly kind: 'finished'; readonly node: string }
  | { readonly kind: 'success'; readonly timestamp: number }
  | { readonly kind: 'error'; readonly timestamp: number; readonly error: WorkflowFailure }
  | {
      readonly kind: 'interrupted';
      readonly timestamp: number;
      readonly node: string;
      readonly nodeType: string;
      readonly executed: readonly string[];
    };

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
