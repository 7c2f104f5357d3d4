/**
 * Fetches a picture from a URL, where the operator allows it. Never from this machine or a private network: the address that a name has is
 * checked when the connection is made, at every redirect, so that a name cannot point elsewhere between check and use.
 */

import { type LookupAddress, lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { StableDiffusionError } from '../../errors.ts';

/** IANA's special-purpose addresses: not of the public internet. */
const special = new BlockList();
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  special.addSubnet(address, prefix, 'ipv4');

const publicV6 = new BlockList();
publicV6.addSubnet('2000::', 3, 'ipv6');
const specialV6 = new BlockList();
// 6to4, Teredo, documentation, ORCHID and benchmarking addresses contain or represent other addresses.
for (const [address, prefix] of [
  ['2002::', 16],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['3fff::', 20],
] as const)
  specialV6.addSubnet(address, prefix, 'ipv6');

/** True if an address belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  const kind = isIP(address);
  if (kind === 4) return !special.check(address, 'ipv4');
  if (kind !== 6) return false;
  return publicV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6');
}

export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

const systemResolve: Resolve = (host) =>
  new Promise((resolve, reject) =>
    lookup(host, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))),
  );

export interface FetchPictureOptions {
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
  /** Default 10 s, for all together. */
  readonly timeoutMilliseconds?: number;
  /** For tests: the resolver, and the allowed addresses. */
  readonly resolve?: Resolve;
  readonly isAllowed?: (address: string) => boolean;
}

const refuse = (message: string): StableDiffusionError => new StableDiffusionError('forbidden', message);

interface Reply {
  readonly status: number;
  readonly location: string | undefined;
  readonly bytes: Uint8Array;
}

function get(url: URL, options: FetchPictureOptions, signal: AbortSignal): Promise<Reply> {
  const { maxBytes, resolve = systemResolve, isAllowed = isPublicAddress } = options;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) && !isAllowed(host)) return Promise.reject(refuse('Pictures are not fetched from private addresses.'));
  const guarded: LookupFunction = (name, _options, callback) => {
    resolve(name).then(
      (addresses) => {
        // One bad address among good ones is enough: the name cannot be trusted.
        if (addresses.length === 0 || !addresses.every(({ address }) => isAllowed(address)))
          callback(refuse('Pictures are not fetched from private addresses.'), '', 4);
        else if (_options.all)
          (callback as unknown as (error: null, found: LookupAddress[]) => void)(null, [...addresses]);
        else callback(null, addresses[0]?.address ?? '', addresses[0]?.family ?? 4);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 4),
    );
  };
  return new Promise((settle, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
      url,
      { lookup: guarded, signal, agent: false, headers: { accept: 'image/*', 'user-agent': 'stable-diffusion-ts' } },
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
              `The picture at this URL has more than the ${maxBytes} bytes allowed.`,
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
      reject(new StableDiffusionError('network', 'The server of this URL does not answer with a picture.'));
    });
    request.on('close', () => reject(new StableDiffusionError('network', 'The connection was closed too early.')));
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    request.end();
  });
}

/** Throws `forbidden` for other schemes and private addresses, `too-large`, `network`. */
export async function fetchPicture(address: string, options: FetchPictureOptions): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(options.timeoutMilliseconds ?? 10_000);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let url: URL;
  try {
    url = new URL(address);
    for (let redirects = 0; redirects <= 3; redirects++) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('Only http and https URLs are fetched.');
      if (url.username || url.password) throw refuse('URLs with a user name are not fetched.');
      const { status, location, bytes } = await get(url, options, signal);
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
