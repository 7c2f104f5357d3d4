/** ByteSources of the browser: a `Blob` or `File` that a person chose, and a URL read by HTTP range requests (RFC 9110, section 14). */

import { StableDiffusionError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';

/** Random access to a `Blob` or `File`; nothing is read until it is asked for. */
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

/** Opens a URL whose server answers range requests. Throws `network` where it does not, or `file-not-found` for 404. */
export async function openUrl(url: string, options: UrlOptions = {}): Promise<ByteSource> {
  const first = await requestRange(url, 0, 1, options);
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
      if (part.size !== size || part.tag !== first.tag) {
        throw new StableDiffusionError('network', `${url} changed on the server while it was read. Open it again.`);
      }
      if (part.bytes.length !== length) {
        throw new StableDiffusionError(
          'network',
          `${url}: ${length} bytes at offset ${offset} were asked for, and ${part.bytes.length} came.`,
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

async function requestRange(
  url: string,
  offset: number,
  length: number,
  options: UrlOptions,
): Promise<{ bytes: Uint8Array; size: number; tag: string | null }> {
  let response: Response;
  try {
    response = await (options.fetch ?? fetch)(url, {
      headers: { ...options.headers, range: `bytes=${offset}-${offset + length - 1}` },
      ...(options.signal && { signal: options.signal }),
    });
    if (response.status === 206) {
      const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
      if (range && Number(range[1]) === offset && Number(range[2]) === offset + length - 1) {
        return {
          bytes: new Uint8Array(await response.arrayBuffer()),
          size: Number(range[3]),
          tag: response.headers.get('etag'),
        };
      }
    }
    await response.body?.cancel();
  } catch (cause) {
    if (options.signal?.aborted) throw new StableDiffusionError('aborted', 'The work was cancelled.', { cause });
    throw new StableDiffusionError(
      'network',
      `${url} could not be read: ${cause instanceof Error ? cause.message : cause}.`,
      { cause },
    );
  }
  const { status } = response;
  if (status === 404 || status === 410)
    throw new StableDiffusionError('file-not-found', `${url} is not there (HTTP ${status}).`);
  if (status === 416)
    throw new StableDiffusionError('file-truncated', `${url} is empty or shorter than expected (HTTP 416).`);
  const reason =
    status === 200
      ? 'the server does not answer range requests; download the file and open it from disk'
      : `HTTP ${status}`;
  throw new StableDiffusionError('network', `${url} could not be read by range: ${reason}.`);
}
