/**
 * The server's routes in another Fastify application.
 *
 * @example
 * await app.register(sdRoutes, { prefix: '/pictures', model: 'v1-5.safetensors', dataFolder: 'data' });
 */

import type { FastifyInstance } from 'fastify';
import type { ApiKey } from './http/api-keys.ts';
import { addRoutes } from './http/add-routes.ts';
import type { Authenticate } from './http/host-authentication.ts';
import { openService, type ServiceOptions } from './service.ts';

export interface SdRoutesOptions extends Omit<ServiceOptions, 'logger' | 'logLevel' | 'logFormat'> {
  /** Path before all routes. */
  readonly prefix?: string | undefined;
  /** Callers and their keys. */
  readonly keys?: readonly ApiKey[] | undefined;
  /**
   * The caller's name, where the application knows who calls, instead of keys; also as a promise. Jobs, shares and limits are counted by it.
   * Throws for strangers, who get 401, or the error's own `statusCode` from 400 to 499. Without this and without keys only programs of this machine are answered.
   */
  readonly authenticate?: Authenticate | undefined;
  readonly corsOrigins?: readonly string[] | undefined;
  /** Milliseconds that running jobs may take when the application closes. Default 30000. */
  readonly patience?: number | undefined;
}

/** A Fastify plugin: A1111's API, OpenAI's, Gemini's and the jobs API below `prefix`, with a queue and a worker in this process. */
export async function sdRoutes(app: FastifyInstance, options: SdRoutesOptions): Promise<void> {
  const { keys = [], corsOrigins = [], authenticate, patience = 30_000, prefix: _prefix, ...given } = options;
  const service = await openService({ ...given, logger: app.log }, app.prefix);
  app.addHook('onClose', async () => {
    await service.stop(patience);
    await service.close();
  });
  await addRoutes(app, { context: service.context, keys, authenticate, corsOrigins });
  app.addHook('onReady', async () => service.start());
}
