/** Requests to a server: address, API key if required, and readable errors. */

export interface ServerAddress {
  /** Ending in '/'. */
  readonly base: string;
  readonly apiKey: string;
}

/** A server's refusal; `status` 401 means that it requires a key. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What ComfyUI's API says of the nodes of a workflow that it refuses. */
type NodeErrors = Readonly<
  Record<string, { class_type: string; errors: readonly { readonly message: string; readonly details: string }[] }>
>;

const nodeLines = (nodes: NodeErrors = {}): readonly string[] =>
  Object.entries(nodes).flatMap(([id, { class_type, errors }]) =>
    errors.map(({ message, details }) => `Node ${id} (${class_type}): ${message}: ${details}.`),
  );

/** The words in an error's body, whichever API it comes from. */
function messageOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const {
    error,
    detail,
    node_errors: nodes,
  } = body as {
    readonly error?: unknown;
    readonly detail?: unknown;
    readonly node_errors?: NodeErrors;
  };
  const [first, ...more] = nodeLines(nodes);
  if (first !== undefined) return more.length > 0 ? `${first} (and ${more.length} more)` : first;
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string')
    return error.message;
  if (typeof detail === 'string') return detail;
  if (Array.isArray(detail))
    return detail
      .map(
        (row: { readonly loc?: readonly unknown[]; readonly msg?: unknown }) =>
          `${row.loc?.slice(1).join('.') ?? ''}: ${String(row.msg)}`,
      )
      .join('; ');
  return undefined;
}

export async function ask(
  { base, apiKey }: ServerAddress,
  path: string,
  init: {
    readonly method?: string;
    /** Sent as JSON. */
    readonly body?: unknown;
    /** JSON as text. */
    readonly text?: string;
    readonly form?: FormData;
    readonly signal?: AbortSignal;
  } = {},
): Promise<Response> {
  const { body, form, signal, text = body === undefined ? undefined : JSON.stringify(body) } = init;
  const sent = form ?? text;
  const { method = sent === undefined ? 'GET' : 'POST' } = init;
  let response: Response;
  try {
    response = await fetch(new URL(path.replace(/^\//, ''), base), {
      method,
      headers: {
        ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}),
        ...(text === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(sent === undefined ? {} : { body: sent }),
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ServerError(0, 'The server cannot be reached. Is it running?');
  }
  if (response.ok) return response;
  const problem: unknown = await response.json().catch(() => undefined);
  throw new ServerError(response.status, messageOf(problem) ?? `The server answered with HTTP ${response.status}.`);
}

/** A file as base64, without the head of a data URL. */
export async function base64Of(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function blobOf(base64: string, type = 'image/png'): Blob {
  return new Blob(
    [Uint8Array.from(atob(base64.slice(base64.indexOf(',') + 1)), (character) => character.charCodeAt(0))],
    { type },
  );
}
