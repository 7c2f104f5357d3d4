/** The program's own HTTP server: Fastify with the bounds of connections, and the routes on it. */

import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Limits } from '../limits.ts';
import { addRoutes, createProblemAnswer, type RouteOptions, type AnswerError } from './add-routes.ts';
import { boundConnections, gateConnections } from './connection-gate.ts';

/** A certificate and its key, PEM. */
export interface TlsFiles {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

export interface AppOptions extends Omit<RouteOptions, 'authenticate'> {
  readonly logger: FastifyBaseLogger;
  /** Answers https instead of http. */
  readonly tls?: TlsFiles | undefined;
}

interface Opening extends Pick<AppOptions, 'logger' | 'tls'> {
  readonly limits: Limits;
  readonly onError: AnswerError;
}

function openFastify({ limits, logger, tls, onError }: Opening): FastifyInstance {
  const requestTimeout = limits.requestSeconds * 1000;
  const http: ServerOptions = {
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: 75_000,
    connectionsCheckingInterval: Math.min(30_000, requestTimeout / 2),
    requireHostHeader: true,
  };
  return fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.bodyBytes,
    serverFactory(listener) {
      const gated = gateConnections(listener as RequestListener, limits.pipelined);
      const server = tls
        ? createTlsServer({ ...http, cert: tls.cert as Buffer, key: tls.key as Buffer }, gated)
        : createServer(http, gated);
      boundConnections(server, limits.connections);
      return server;
    },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: true,
    // Failures before routing: a malformed or too long path.
    frameworkErrors: (error, request, reply) => void onError(error, request, reply),
  }) as unknown as FastifyInstance;
}

/** Builds the server; `app.inject` and `app.listen` work on it. */
export async function createApp({ logger, tls, ...options }: AppOptions): Promise<FastifyInstance> {
  const { limits } = options.context;
  const app = openFastify({ limits, logger, tls, onError: createProblemAnswer(options.context) });
  await addRoutes(app, options);
  return app;
}
