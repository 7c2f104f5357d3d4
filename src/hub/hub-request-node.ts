/** One request to a hub over a connection of its own, whose address is judged when it is made. Redirects are not followed. */

import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { PassThrough, pipeline } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { StableDiffusionError } from '../errors.ts';
import { guardedLookup, type Resolve } from '../files/guarded-lookup-node.ts';
import { addressOf, isPublicAddress } from '../files/public-address-node.ts';

export interface HubRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Refuse private addresses. */
  readonly publicOnly: boolean;
  /** For tests. */
  readonly resolve?: Resolve | undefined;
}

export interface HubReply {
  readonly response: Response;
  /** Whether the connection went to the public internet. */
  readonly isPublic: boolean;
}

const unpackers: Readonly<Record<string, () => NodeJS.ReadWriteStream>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};
const withoutBody = new Set([204, 205, 304]);

/** The body, unpacked where it was sent packed. */
function bodyOf(incoming: IncomingMessage): ReadableStream {
  const unpacker = unpackers[incoming.headers['content-encoding']?.trim().toLowerCase() ?? ''];
  const out = new PassThrough();
  // An error of any stream ends the last one with it.
  if (unpacker) pipeline(incoming, unpacker(), out, () => {});
  else pipeline(incoming, out, () => {});
  return ReadableStream.from(out as AsyncIterable<Uint8Array>);
}

/** Throws `forbidden` for private addresses where only public ones are allowed, and errors of the connection. */
export function hubRequest(url: URL, { headers, signal, publicOnly, resolve }: HubRequest): Promise<HubReply> {
  const refusal = (): StableDiffusionError =>
    new StableDiffusionError('forbidden', `${url.host} now has a private address, which is not followed.`);
  const address = addressOf(url.hostname);
  if (publicOnly && address !== undefined && !isPublicAddress(address)) return Promise.reject(refusal());
  const lookup = guardedLookup((address) => !publicOnly || isPublicAddress(address), refusal, resolve);
  return new Promise((settle, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      headers: { 'user-agent': 'stable-diffusion-ts', accept: '*/*', 'accept-encoding': 'identity', ...headers },
      agent: false,
      lookup,
      signal,
    });
    request.on('response', (incoming) => {
      const status = incoming.statusCode ?? 0;
      const isPublic = isPublicAddress(incoming.socket.remoteAddress ?? '');
      const told = new Headers();
      for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2)
        told.append(incoming.rawHeaders[i] ?? '', incoming.rawHeaders[i + 1] ?? '');
      try {
        if (withoutBody.has(status)) incoming.resume();
        const body = withoutBody.has(status) ? null : (bodyOf(incoming) as unknown as BodyInit);
        settle({ response: new Response(body, { status, headers: told }), isPublic });
      } catch (error) {
        request.destroy();
        reject(error as Error);
      }
    });
    request.on('upgrade', (_, socket) => {
      socket.destroy();
      reject(new Error('the server switches to another protocol'));
    });
    request.on('error', reject);
    request.on('close', () => reject(new Error('the connection was closed too early')));
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    request.end();
  });
}
