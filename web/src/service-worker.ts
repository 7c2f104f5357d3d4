/**
 * The service worker: keeps the page's files, so that it opens without a network, and ONNX Runtime's once they were used. It adds the headers
 * that isolate the page (WASM threads need them), so that any host of static files will do. Requests to a server's API pass it by.
 */

interface Shell {
  /** Cache of the page's files. */
  readonly version: string;
  /** Cache of ONNX Runtime's files. */
  readonly runtime: string;
  /** Paths of the page's files, relative to the scope. */
  readonly files: readonly string[];
}

interface LifetimeEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface RequestEvent extends LifetimeEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Scope {
  /** Put before this script by the build. */
  readonly shell: Shell;
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: LifetimeEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void;
  addEventListener(type: 'fetch', listener: (event: RequestEvent) => void): void;
}

const worker = globalThis as unknown as Scope;
const { shell } = worker;
const shellCache = `shell-${shell.version}`;
const runtimeCache = `runtime-${shell.runtime}`;
const files = new Set(shell.files);

/** The path below the scope, without a query; undefined where the address is another's. */
function pathOf(address: string): string | undefined {
  const [plain = ''] = address.split(/[?#]/);
  if (!plain.startsWith(worker.registration.scope)) return undefined;
  return plain.slice(worker.registration.scope.length) || 'index.html';
}

function isolated(response: Response): Response {
  if (response.status === 0 || response.headers.has('cross-origin-embedder-policy')) return response;
  const headers = new Headers(response.headers);
  headers.set('cross-origin-opener-policy', 'same-origin');
  headers.set('cross-origin-embedder-policy', 'require-corp');
  headers.set('cross-origin-resource-policy', 'same-origin');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function answer(path: string, name: string, request: Request): Promise<Response> {
  const cache = await caches.open(name);
  const address = new URL(path, worker.registration.scope).href;
  const kept = await cache.match(address);
  if (kept) return isolated(kept);
  const response = await fetch(request);
  if (response.ok && response.status === 200) await cache.put(address, response.clone()).catch(() => {}); // storage may be full
  return isolated(response);
}

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(shellCache)
      .then((cache) =>
        cache.addAll(
          shell.files.map((file) => new Request(new URL(file, worker.registration.scope), { cache: 'reload' })),
        ),
      ),
  );
});

worker.addEventListener('activate', (event) => {
  const clean = async (): Promise<void> => {
    for (const name of await caches.keys()) if (name !== shellCache && name !== runtimeCache) await caches.delete(name);
    await worker.clients.claim();
  };
  event.waitUntil(clean());
});

worker.addEventListener('message', ({ data }) => {
  if (data === 'activate') void worker.skipWaiting();
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const path = request.method === 'GET' ? pathOf(request.url) : undefined;
  if (path === undefined) return;
  if (files.has(path)) event.respondWith(answer(path, shellCache, request));
  else if (path.startsWith('ort/')) event.respondWith(answer(path, runtimeCache, request));
});
