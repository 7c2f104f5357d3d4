/**
 * Requests to addresses that callers name. Never to this machine or a private network, unless the operator allows it: the address that a
 * name has is checked when the connection is made, so that a name cannot point elsewhere between check and use.
 */

import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { StableDiffusionError } from '../../errors.ts';
import { guardedLookup, type Resolve } from '../../files/guarded-lookup-node.ts';
import { addressOf, isPublicAddress } from '../../files/public-address-node.ts';

export interface GuardedRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bytes of an answer that are read. */
  readonly maxBytes: number;
  /** What the request loads, for messages: `picture`. */
  readonly what: string;
  /** For tests: the resolver, and the allowed addresses. */
  readonly resolve?: Resolve | undefined;
  readonly isAllowed?: ((address: string) => boolean) | undefined;
}

export interface GuardedReply {
  readonly status: number;
  readonly location: string | undefined;
  readonly bytes: Uint8Array;
}

/** Checks an address that a caller names, without looking anything up. Throws `forbidden`. */
export function checkUrl(url: URL): void {
  const refuse = (message: string): StableDiffusionError => new StableDiffusionError('forbidden', message);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('Only http and https URLs are called.');
  if (url.username || url.password) throw refuse('URLs with a user name are not called.');
}

/** One request, without following redirects. Throws `forbidden` for private addresses, `too-large`, `network`, and errors of the connection. */
export function guardedRequest(url: URL, options: GuardedRequest, signal: AbortSignal): Promise<GuardedReply> {
  const { method = 'GET', headers = {}, body, maxBytes, what, resolve, isAllowed = isPublicAddress } = options;
  const isPrivate = (): StableDiffusionError =>
    new StableDiffusionError('forbidden', `Private addresses are not called for a ${what}.`);
  const address = addressOf(url.hostname);
  if (address !== undefined && !isAllowed(address)) return Promise.reject(isPrivate());
  const guarded = guardedLookup(isAllowed, isPrivate, resolve);
  return new Promise((settle, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
      url,
      { method, lookup: guarded, signal, agent: false, headers: { 'user-agent': 'stable-diffusion-ts', ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size <= maxBytes) {
            chunks.push(chunk);
            return;
          }
          reject(
            new StableDiffusionError(
              'too-large',
              `The ${what} at this URL has more than the ${maxBytes} bytes allowed.`,
            ),
          );
          request.destroy();
        });
        response.on('end', () =>
          settle({
            status: response.statusCode ?? 0,
            location: response.headers.location,
            bytes: new Uint8Array(Buffer.concat(chunks)),
          }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    // "101 Switching Protocols" hands the socket over, and nothing would be heard of it any more.
    request.on('upgrade', () => {
      request.destroy();
      reject(new StableDiffusionError('network', `The server of this URL does not answer with a ${what}.`));
    });
    request.on('close', () => reject(new StableDiffusionError('network', 'The connection was closed too early.')));
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    request.end(body);
  });
}
