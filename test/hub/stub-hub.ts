/** A hub of the test's own: model information, tree, files by a redirect with ranges. Can break off, refuse and damage. */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StubHub {
  readonly address: string;
  /** Requests as `GET /path`, with the range where there was one. */
  readonly requests: string[];
  /** Breaks off the next answers after so many bytes each. */
  readonly breaks: number[];
  /** Bytes of a file that are sent wrongly. */
  damaged: boolean;
  /** A token that is needed; undefined for none. */
  token: string | undefined;
  /** Milliseconds between two pieces of a file. */
  slow: number;
  close(): Promise<void>;
}

export const commit = '0123456789abcdef0123456789abcdef01234567';

/** Files above 1,000 bytes are large ones (LFS). */
export const etagOf = (content: Uint8Array): string =>
  content.length > 1000
    ? createHash('sha256').update(content).digest('hex')
    : createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

export async function startStubHub(
  repositories: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>,
): Promise<StubHub> {
  const server = createServer((request, response) => void answer(request, response));
  const stub = {
    requests: [] as string[],
    breaks: [] as number[],
    damaged: false,
    token: undefined as string | undefined,
    slow: 0,
  };
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    const range = request.headers.range;
    stub.requests.push(`${request.method} ${pathname}${range ? ` ${range}` : ''}`);
    const end = (status: number, body?: unknown, headers = {}): void => {
      response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body));
    };
    if (
      stub.token !== undefined &&
      !pathname.startsWith('/cdn/') &&
      request.headers.authorization !== `Bearer ${stub.token}`
    )
      return end(401);
    const [, name = '', rest = ''] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+)(?:\/(.*))?$/.exec(pathname.replace(/^\/cdn/, '')) ?? [];
    const files = repositories[name];
    if (!files) return end(404);
    if (pathname.startsWith('/api/models/')) {
      if (rest.startsWith('revision/'))
        return end(200, { sha: commit, siblings: Object.keys(files).map((rfilename) => ({ rfilename })) });
      const tree = Object.entries(files).map(([path, content]) => ({
        type: 'file',
        path,
        size: content.length,
        oid: etagOf(content.slice(0, 1000)),
        ...(content.length > 1000 ? { lfs: { oid: etagOf(content), size: content.length, pointerSize: 134 } } : {}),
      }));
      return end(200, tree);
    }
    const path = decodeURIComponent(rest.replace(/^resolve\/[^/]+\//, ''));
    const content = files[path];
    if (!content) return end(404);
    if (!pathname.startsWith('/cdn/')) return end(302, undefined, { location: `/cdn${pathname}` });
    await send(response, content, range);
  }
  async function send(response: ServerResponse, content: Uint8Array, range: string | undefined): Promise<void> {
    const from = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
    const part = Buffer.from(content.subarray(from));
    if (stub.damaged && part.length > 0) part[0] = (part[0] as number) ^ 1;
    response.writeHead(range ? 206 : 200, {
      'content-length': part.length,
      ...(range ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
    });
    const most = stub.breaks.shift() ?? Number.POSITIVE_INFINITY;
    for (let at = 0; at < Math.min(part.length, most); at += 65536) {
      if (response.destroyed) return;
      await new Promise((resolve) => response.write(part.subarray(at, Math.min(at + 65536, most)), resolve));
      if (stub.slow > 0) await new Promise((resolve) => setTimeout(resolve, stub.slow));
    }
    // What was written must have arrived before the connection goes.
    if (most < part.length) setTimeout(() => response.destroy(), 50);
    else response.end();
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(stub, {
    address: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
