/**
 * Requests to a hub. What a hub answers is bounded: it leads to http and https alone, never from a public address to a private one or from
 * https to http, and a key goes to nobody else.
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { StableDiffusionError } from '../errors.ts';
import { isPublicAddress } from '../files/public-address-node.ts';

const mostRedirects = 10;

const refuse = (message: string): StableDiffusionError => new StableDiffusionError('forbidden', message);

/** Whether every address of a host is public. A name that cannot be looked up leads nowhere. */
async function isPublicHost(host: string): Promise<boolean> {
  const name = host.replace(/^\[|\]$/g, '');
  if (isIP(name)) return isPublicAddress(name);
  const addresses = await lookup(name, { all: true }).catch(() => []);
  return addresses.every(({ address }) => isPublicAddress(address));
}

/** Throws `forbidden` where a server may not lead from one address to the other. */
async function checkRedirect(from: URL, to: URL): Promise<void> {
  if (to.protocol !== 'http:' && to.protocol !== 'https:')
    throw refuse(`${from.host} redirects to ${to.protocol}, and only http and https are followed.`);
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw refuse(`${from.host} redirects from https to http, which is not followed.`);
  if (from.host !== to.host && (await isPublicHost(from.hostname)) && !(await isPublicHost(to.hostname)))
    throw refuse(`${from.host} redirects to the private address ${to.host}, which is not followed.`);
}

/** `fetch` with such redirects. The headers of a request go to its own origin; others get those that say nothing of its sender. */
export async function guardedFetch(
  ask: typeof fetch,
  address: string,
  { headers, signal }: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<Response> {
  let url = new URL(address);
  let sent = headers;
  for (let redirects = 0; ; redirects++) {
    const response = await ask(url.href, { headers: sent, signal, redirect: 'manual' });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    if (redirects === mostRedirects) throw refuse(`${url.host} redirects more than ${mostRedirects} times.`);
    const next = new URL(location, url);
    await checkRedirect(url, next);
    if (next.origin !== url.origin) {
      const { authorization: _, ...others } = sent;
      sent = others;
    }
    url = next;
  }
}

/** The body as JSON. Throws `too-large` as soon as it is longer than `most` bytes, and `SyntaxError`. */
export async function boundedJson(response: Response, most: number): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > most)
      throw new StableDiffusionError(
        'too-large',
        `The answer of ${new URL(response.url).host} has more than ${most} bytes.`,
      );
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
}
