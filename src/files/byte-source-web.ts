/** ByteSources of the browser: a `Blob` or `File` that a person chose, and a URL read by HTTP range requests (RFC 9110, section 14). */

import { StableDiffusionError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import { wholeAnswer } from './whole-answer-web.ts';

/** Random access to a `Blob` or `File`; reads lazily. */
export function blobBytes(
  blob: Blob,
  label = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'a blob',
): ByteSource {
  return {
    label,
    size: blob.size,
    async read(offset, length) {
      checkRange(this, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new StableDiffusionError(
          'file-access',
          `${label} could not be read: it has been changed or removed since it was chosen. Choose it again.`,
          { cause },
        );
      }
    },
    async close() {},
  };
}

export interface UrlOptions {
  readonly fetch?: typeof fetch;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/**
 * Opens a URL and reads it by range. Small files of servers that do not answer range requests are read at once. Throws `network` where the
 * server sends neither, or `file-not-found` for 404 and for a page in the file's place.
 */
export async function openUrl(url: string, options: UrlOptions = {}): Promise<ByteSource> {
  // Eight bytes, which every reader needs; several servers take a range that ends at 0 for none.
  const first = await requestRange(url, 0, 8, options, wholeAnswer);
  if (first instanceof Blob) return blobBytes(first, url);
  const { size } = first;
  let closed = false;
  const source: ByteSource = {
    label: url,
    size,
    remote: true,
    async read(offset, length) {
      checkRange(source, offset, length);
      if (closed) throw new StableDiffusionError('file-access', `${url} was read after it had been closed.`);
      if (length === 0) return new Uint8Array(0);
      const part = await requestRange(url, offset, length, options);
      if (part instanceof Blob || part.size !== size || part.tag !== first.tag) {
        throw new StableDiffusionError('network', `${url} changed on the server while it was read. Open it again.`);
      }
      if (part.bytes.length !== length) {
        throw new StableDiffusionError(
          'network',
          `${url}: ${length} bytes at offset ${offset} were requested, and ${part.bytes.length} came.`,
        );
      }
      return part.bytes;
    },
    async close() {
      closed = true;
    },
  };
  return source;
}

interface RangeAnswer {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly tag: string | null;
}

/** What a request gives, with its failures as the library's errors. */
async function attempt<T>(url: string, { signal }: UrlOptions, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    if (signal?.aborted) throw new StableDiffusionError('aborted', 'The work was cancelled.', { cause });
    const why = cause instanceof Error ? cause.message : cause;
    throw new StableDiffusionError('network', `${url} could not be read: ${why}.`, { cause });
  }
}

/** Servers that answer more than was wanted are cut; fewer bytes come only at the end of the file. `whole` takes an answer without a range. */
async function requestRange(
  url: string,
  offset: number,
  length: number,
  options: UrlOptions,
  whole?: typeof wholeAnswer,
): Promise<RangeAnswer | Blob> {
  return attempt(url, options, async () => {
    const response = await (options.fetch ?? fetch)(url, {
      headers: { ...options.headers, range: `bytes=${offset}-${offset + length - 1}` },
      ...(options.signal && { signal: options.signal }),
    });
    if (response.status === 200 && whole) return whole(url, response);
    const answer = await rangeAnswer(response, offset, length);
    if (answer) return answer;
    await response.body?.cancel();
    throw refusal(url, response);
  });
}

function refusal(url: string, response: Response): StableDiffusionError {
  const { status } = response;
  if (status === 404 || status === 410)
    return new StableDiffusionError('file-not-found', `${url} does not exist (HTTP ${status}).`);
  if (status === 401 || status === 403)
    return new StableDiffusionError(
      'forbidden',
      `${url} may not be read (HTTP ${status}). It may need a login or a token.`,
    );
  if (status === 416)
    return new StableDiffusionError('file-truncated', `${url} is empty or shorter than expected (HTTP 416).`);
  return new StableDiffusionError('network', `${url} could not be read by range: ${reasonOf(response)}.`);
}

async function rangeAnswer(response: Response, offset: number, length: number): Promise<RangeAnswer | undefined> {
  const [, first, last, total] = rangePattern.exec(response.headers.get('content-range') ?? '') ?? [];
  if (response.status !== 206 || first === undefined) return undefined;
  const [start, end, size] = [Number(first), Number(last), Number(total)];
  const wanted = Math.min(length, size - offset);
  if (start > offset || end + 1 < offset + wanted) return undefined;
  return {
    bytes: await pieceOf(response, offset - start, wanted),
    size,
    tag: response.headers.get('etag'),
  };
}

const rangePattern = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/;

/** `length` bytes of a body from `skip`; what follows is not waited for. */
async function pieceOf(response: Response, skip: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, length));
  const reader = response.body?.getReader();
  let at = -skip;
  while (reader && at < length) {
    const { done, value } = await reader.read();
    if (done) break;
    const from = Math.max(0, -at);
    const part = value.subarray(from, Math.min(value.length, length - at));
    if (part.length > 0) bytes.set(part, at + from);
    at += value.length;
  }
  await reader?.cancel();
  return at >= length ? bytes : bytes.slice(0, Math.max(0, at));
}

function reasonOf({ status, headers }: Response): string {
  if (status === 200) return 'the server answered earlier requests by range, and now sends the whole';
  return status === 206
    ? `the server sent ${JSON.stringify(headers.get('content-range'))}, which does not cover the bytes that were requested`
    : `HTTP ${status}`;
}
