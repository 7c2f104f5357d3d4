/** Recorded requests sent to a server, and its answers compared with the recorded ones. */

import sharp from 'sharp';
import type { Comparisons } from '../comparisons.ts';
import { differenceFrom, type Masks, unmasked } from './masked.ts';

export interface RecordedRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly json?: unknown;
  readonly raw?: string;
  readonly form?: readonly { readonly name: string; readonly value: string; readonly filename?: string }[];
}

export interface RecordedStep {
  readonly request: RecordedRequest;
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly json?: unknown;
    readonly text?: string;
    readonly image?: { readonly format: string; readonly mode: string; readonly size: readonly [number, number] };
  };
  readonly note?: string;
  /** The same answer under `/api`. */
  readonly api_same?: boolean;
}

export interface ReplayOptions {
  readonly url: string;
  readonly masks: Masks;
  /** The bytes of a recorded file, which is described as `<77 bytes>`. */
  readonly fileOf?: (field: { readonly value: string }, request: RecordedRequest) => Promise<Uint8Array<ArrayBuffer>>;
  /** What of an answer is compared in another way, or a reason to leave it out. */
  readonly special?: (
    step: RecordedStep,
  ) => { readonly ours?: (body: unknown) => unknown; readonly theirs?: unknown; readonly skip?: string } | undefined;
}

async function send(request: RecordedRequest, path: string, { url, masks, fileOf }: ReplayOptions): Promise<Response> {
  const { method, json, raw, form } = request;
  const target = url + unmasked(path, masks);
  if (form) {
    const body = new FormData();
    for (const field of form) {
      if (field.filename !== undefined && fileOf)
        body.append(field.name, new File([await fileOf(field, request)], field.filename, { type: 'image/png' }));
      else body.append(field.name, field.value);
    }
    return fetch(target, { method, body });
  }
  if (json !== undefined)
    return fetch(target, {
      method,
      headers: { 'content-type': 'application/json' },
      body: unmasked(JSON.stringify(json), masks),
    });
  return fetch(target, { method, ...(raw === undefined || method === 'GET' ? {} : { body: raw }) });
}

/** Pillow's name of a decoded file's mode. */
async function imageFacts(bytes: Uint8Array): Promise<unknown> {
  const { format = '', width = 0, height = 0, channels = 0 } = await sharp(bytes).metadata();
  const modes: Readonly<Record<number, string>> = { 1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA' };
  return { format: format.toUpperCase(), mode: modes[channels], size: [width, height] };
}

async function bodyOf(response: Response, want: RecordedStep['response']): Promise<unknown> {
  if (want.image) return imageFacts(new Uint8Array(await response.arrayBuffer()));
  const text = await response.text();
  if (want.json === undefined) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Sends one request and compares status, recorded headers and body. */
export async function replayStep(
  step: RecordedStep,
  label: string,
  options: ReplayOptions,
  compare: Comparisons,
): Promise<void> {
  const { request, response: want, api_same } = step;
  const special = options.special?.(step);
  const name = `${label}: ${request.method} ${request.path}`;
  if (special?.skip !== undefined) {
    compare.skip(name, special.skip);
    return;
  }
  for (const path of [request.path, ...(api_same ? [`/api${request.path}`] : [])]) {
    const got = await send(request, path, options);
    compare.exact(`${label}: ${request.method} ${path}: status`, got.status, want.status);
    for (const [header, value] of special?.ours ? [] : Object.entries(want.headers))
      compare.exact(`${label}: ${header}`, got.headers.get(header)?.toLowerCase(), value.toLowerCase());
    const body = await bodyOf(got, want);
    const theirs = special?.theirs ?? want.image ?? want.json ?? want.text ?? '';
    const difference = differenceFrom(special?.ours ? special.ours(body) : body, theirs, options.masks);
    compare.exact(`${label}: ${request.method} ${path}: body`, difference, undefined);
  }
}
