/** Pictures in requests: base64, data URLs, ids of the store, and URLs where the operator allows them. Never a path. */

import { StableDiffusionError } from '../../errors.ts';
import { inTurn } from '../admission/in-turn.ts';
import type { ServerContext } from '../context.ts';
import { blobIdSchema } from '../store/blob-store.ts';
import { fetchPicture } from './fetch-picture.ts';

/** Characters from which on base64 takes milliseconds. */
const largeText = 2 ** 20;

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => {
  const { buffer, byteOffset, length } = Buffer.from(base64, 'base64');
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
};

/** The bytes of a picture given as text. Throws `invalid-argument`, `not-found`, `forbidden`, `too-large`, `network`. */
export async function readPicture(context: ServerContext, text: string, signal?: AbortSignal): Promise<Uint8Array> {
  if (/^https?:\/\//i.test(text)) {
    if (!context.policy.fetchUrls)
      throw new StableDiffusionError(
        'forbidden',
        'This server does not fetch pictures from URLs. Send the picture itself, as base64.',
      );
    return fetchPicture(text, { maxBytes: context.limits.bodyBytes, ...(signal ? { signal } : {}) });
  }
  if (blobIdSchema.safeParse(text).success) {
    const bytes = await context.store.get(text);
    if (!bytes) throw new StableDiffusionError('not-found', 'No picture has this id.');
    return bytes;
  }
  const data = text.startsWith('data:') ? text.slice(text.indexOf(',') + 1) : text;
  const bytes = data.length < largeText ? bytesOf(data) : await inTurn(() => bytesOf(data));
  if (bytes.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      'Invalid encoded image: a picture is base64, with or without "data:image/png;base64," before it.',
    );
  return bytes;
}

/** Who sends a picture: work on pictures is done in turn. */
export interface Caller {
  readonly owner: string;
  readonly signal: AbortSignal;
}

export interface StoredPicture {
  readonly id: string;
  /** Upright. */
  readonly width: number;
  readonly height: number;
}

/** Checks that bytes are a picture within the limits, which decodes, and stores them. Throws `file-corrupt`, `file-unsupported`, `too-large`, `busy`. */
export async function storePicture(
  { pictures, quota, store }: ServerContext,
  bytes: Uint8Array,
  caller: Caller,
): Promise<StoredPicture> {
  const size = await pictures.run('check', { bytes }, caller);
  quota.charge(caller.owner, bytes.length);
  return { id: await store.put(bytes), ...size };
}
