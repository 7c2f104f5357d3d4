/**
 * Requests to a hub. What a hub answers is bounded: it leads to http and https alone, never from a public address to a private one or from
 * https to http, and a key goes to nobody else. A host that was reached at a public address is not reached at a private one afterwards.
 */

import { StableDiffusionError } from '../errors.ts';
import { addressOf, isPublicAddress } from '../files/public-address-node.ts';
import { type Resolve, systemResolve } from '../files/guarded-lookup-node.ts';
import { hubRequest } from './hub-request-node.ts';

const mostRedirects = 10;

const refuse = (message: string): StableDiffusionError => new StableDiffusionError('forbidden', message);

/** Whether every address of a host is public. A name that cannot be looked up leads nowhere. */
async function isPublicHost(host: string, resolve: Resolve): Promise<boolean> {
  const given = addressOf(host);
  if (given !== undefined) return isPublicAddress(given);
  const addresses = await resolve(host).catch(() => []);
  return addresses.every(({ address }) => isPublicAddress(address));
}

/** Throws `forbidden` where a server may not lead from one address to the other; whether it may lead to public ones alone. */
async function checkRedirect(from: URL, to: URL, resolve: Resolve): Promise<boolean> {
  if (to.protocol !== 'http:' && to.protocol !== 'https:')
    throw refuse(`${from.host} redirects to ${to.protocol}, and only http and https are followed.`);
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw refuse(`${from.host} redirects from https to http, which is not followed.`);
  if (from.host === to.host || !(await isPublicHost(from.hostname, resolve))) return false;
  if (!(await isPublicHost(to.hostname, resolve)))
    throw refuse(`${from.host} redirects to the private address ${to.host}, which is not followed.`);
  return true;
}

export interface GuardedFetch {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** The server that named the address; undefined for a person. */
  readonly from?: string | undefined;
  /** For tests. */
  readonly resolve?: Resolve | undefined;
}

/** Hosts that were reached at a public address: their names may change their addresses. */
const publicHosts = new Set<string>();
const mostHosts = 1000;

/**
 * A request with such redirects, by `ask` instead of the program's own connections where it is given. The headers of a request go to its own
 * origin; others get those that say nothing of its sender.
 */
export async function guardedFetch(
  ask: typeof fetch | undefined,
  address: string,
  { headers, signal, from, resolve = systemResolve }: GuardedFetch,
): Promise<Response> {
  let url = new URL(address);
  if (!ask && url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refuse(`${url.protocol} addresses are not fetched, only http and https.`);
  let publicOnly =
    from !== undefined && new URL(from).host !== url.host && (await checkRedirect(new URL(from), url, resolve));
  let sent = headers;
  for (let redirects = 0; ; redirects++) {
    publicOnly ||= publicHosts.has(url.hostname);
    const { response, isPublic } = ask
      ? { response: await ask(url.href, { headers: sent, signal, redirect: 'manual' }), isPublic: false }
      : await hubRequest(url, { headers: sent, signal, publicOnly, resolve });
    publicOnly ||= isPublic;
    if (isPublic && publicHosts.size < mostHosts) publicHosts.add(url.hostname);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    if (redirects === mostRedirects) throw refuse(`${url.host} redirects more than ${mostRedirects} times.`);
    const next = new URL(location, url);
    if (await checkRedirect(url, next, resolve)) publicOnly = true;
    if (next.origin !== url.origin) {
      const { authorization: _, ...others } = sent;
      sent = others;
    }
    url = next;
  }
}

/** The body as JSON. Throws `too-large` as soon as it is longer than `most` bytes, and `SyntaxError`. */
export async function boundedJson(response: Response, most: number, host: string): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > most) throw new StableDiffusionError('too-large', `The answer of ${host} has more than ${most} bytes.`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
}
