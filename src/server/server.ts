/** `sd serve` and `sd worker`: started and stopped. */

import { isIPv4 } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { StableDiffusionError } from '../errors.ts';
import { createApp, type TlsFiles } from './http/app.ts';
import type { ApiKey } from './http/api-keys.ts';
import { createLogger } from './log.ts';
import { openParts, startWork } from './parts.ts';
import type { WorkOptions } from './work-options.ts';
import { openService, type ServiceOptions } from './service.ts';

export { createLogger, type TlsFiles, type WorkOptions };

export interface ServeOptions extends ServiceOptions {
  /** Default 127.0.0.1; another wants API keys. */
  readonly host?: string | undefined;
  /** Default 7860, as A1111. 0 takes a free one. */
  readonly port?: number | undefined;
  readonly keys?: readonly ApiKey[] | undefined;
  readonly corsOrigins?: readonly string[] | undefined;
  /** The built web page. */
  readonly webFolder?: string | undefined;
  /** Certificate and key: the server then answers https. */
  readonly tls?: TlsFiles | undefined;
}

/** How long answers under way may take to be sent when the server stops, milliseconds. */
const answerGrace = 1000;

export interface RunningServer {
  readonly app: FastifyInstance;
  /** `http://host:port` */
  readonly url: string;
  /** Takes no more jobs, finishes those under way for at most `patience` milliseconds, keeps the rest, and ends. */
  stop(patience?: number): Promise<void>;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

async function listen(
  app: FastifyInstance,
  { host, port, tls }: Pick<ServeOptions, 'tls'> & { host: string; port: number },
): Promise<string> {
  try {
    const url = await app.listen({ host, port });
    // Fastify does not know how the server that it is given answers.
    return tls ? url.replace(/^http:/, 'https:') : url;
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
    throw new StableDiffusionError(
      'invalid-argument',
      isTaken ? `Port ${port} is in use. Give another with --port.` : `The server cannot listen on ${host}:${port}.`,
      { cause },
    );
  }
}

/** Starts a server. Throws `invalid-argument` where others could reach it without a key, `file-not-found`, `file-access`. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 7860, keys = [], corsOrigins = [], webFolder, tls } = options;
  if (!isLoopback(host) && keys.length === 0) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The server would answer everybody who reaches ${host}. Give it API keys with --api-key, or leave it at 127.0.0.1.`,
    );
  }
  const service = await openService({ ...options, byOwner: keys.length > 0, owners: keys.map(({ name }) => name) });
  const logReads = options.logFormat !== 'pretty';
  const { context, parts } = service;
  let app: FastifyInstance;
  let url: string;
  try {
    app = await createApp({ context, keys, corsOrigins, webFolder, logReads, logger: parts.log, tls });
    url = await listen(app, { host, port, tls });
  } catch (error) {
    await service.stop(0);
    await service.close();
    throw error;
  }
  service.start();
  let stopped = false;
  return {
    app,
    url,
    async stop(patience = 30_000) {
      if (stopped) return;
      stopped = true;
      await service.stop(patience);
      // Browsers open connections ahead, which count as busy until their first request: they would hold up the end.
      const cut = setTimeout(() => app.server.closeAllConnections(), answerGrace);
      await app.close();
      clearTimeout(cut);
      await service.close();
    },
  };
}

export interface RunningWorker {
  stop(patience?: number): Promise<void>;
}

/** Starts a worker that takes jobs from Redis. */
export async function startWorker(options: WorkOptions & { readonly redis: string }): Promise<RunningWorker> {
  const parts = await openParts(options);
  const runner = startWork(parts, options);
  let stopping = false;
  return {
    async stop(patience = 30_000) {
      if (stopping) return;
      stopping = true;
      await runner.stop(patience);
      await parts.close();
    },
  };
}
