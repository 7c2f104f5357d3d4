/** Fetches a picture from a URL, where the operator allows it. Never from this machine or a private network, at any redirect. */

import { StableDiffusionError } from '../../errors.ts';
import type { Resolve } from '../../files/guarded-lookup-node.ts';
import { checkUrl, guardedRequest } from './guarded-request.ts';

export interface FetchPictureOptions {
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
  /** Default 10 s, for all together. */
  readonly timeoutMilliseconds?: number;
  /** For tests: the resolver, and the allowed addresses. */
  readonly resolve?: Resolve;
  readonly isAllowed?: (address: string) => boolean;
}

/** Throws `forbidden` for other schemes and private addresses, `too-large`, `network`. */
export async function fetchPicture(address: string, options: FetchPictureOptions): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(options.timeoutMilliseconds ?? 10_000);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const { maxBytes, resolve, isAllowed } = options;
  let url: URL;
  try {
    url = new URL(address);
    for (let redirects = 0; redirects <= 3; redirects++) {
      checkUrl(url);
      const { status, location, bytes } = await guardedRequest(
        url,
        { maxBytes, resolve, isAllowed, what: 'picture', headers: { accept: 'image/*' } },
        signal,
      );
      if (status >= 300 && status < 400 && location) url = new URL(location, url);
      else if (status === 200) return bytes;
      else throw new StableDiffusionError('network', `The URL answered with status ${status}.`);
    }
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    throw new StableDiffusionError('network', 'The picture could not be fetched from its URL.', { cause });
  }
  throw new StableDiffusionError('network', 'The URL redirects too often.');
}
