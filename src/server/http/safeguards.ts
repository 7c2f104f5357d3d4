/** Checks before every route: security headers, rate limit, memory, foreign origins, CORS. */

import { getHeapStatistics } from 'node:v8';
import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';
import type { Limits } from '../limits.ts';
import { checkOrigin } from './origin-guard.ts';

export interface SafeguardOptions {
  readonly limits: Limits;
  readonly corsOrigins: readonly string[];
  readonly hasKeys: boolean;
  /** The caller's name. Throws for a wrong key. */
  readonly ownerOf: (request: FastifyRequest) => Promise<string>;
}

/** Share of the JavaScript heap from which on requests that bring work are refused. */
const heapShare = 0.85;

const busy = (scope: 'caller' | 'server', message: string): StableDiffusionError =>
  new StableDiffusionError('busy', message, { details: { scope } });

/** Scripts and workers are the page's own; it may talk to any server that the person names. No other site shows it in a frame. */
const contentSecurityPolicy = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    scriptSrc: ["'self'", "'wasm-unsafe-eval'", 'blob:'],
    workerSrc: ["'self'", 'blob:'],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'blob:', 'data:'],
    connectSrc: ['*', 'blob:', 'data:'],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
  },
};

export async function addSafeguards(app: FastifyInstance, options: SafeguardOptions): Promise<void> {
  const { limits, corsOrigins, hasKeys, ownerOf } = options;
  app.addHook('onRequest', async (request) => checkOrigin(request.headers, { origins: corsOrigins, hasKeys }));
  await app.register(helmet, {
    contentSecurityPolicy,
    // The page's own headers (page.ts), and links to pictures in other sites' pages.
    crossOriginEmbedderPolicy: false,
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    // A TLS proxy sets this header itself.
    strictTransportSecurity: false,
    frameguard: { action: 'deny' },
  });
  await app.register(rateLimit, {
    max: limits.requestsPerMinute,
    timeWindow: '1 minute',
    async keyGenerator(request) {
      try {
        return `key ${await ownerOf(request)}`;
      } catch {
        return `address ${request.ip}`;
      }
    },
    errorResponseBuilder: () => busy('caller', `At most ${limits.requestsPerMinute} requests a minute are answered.`),
  });
  await app.register(underPressure, {
    maxHeapUsedBytes: Math.floor(getHeapStatistics().heap_size_limit * heapShare),
    pressureHandler(request) {
      if (request.method === 'POST') throw busy('server', 'The server is short of memory. Try again later.');
    },
  });
  if (corsOrigins.length > 0)
    await app.register(cors, {
      origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
      maxAge: 600,
      methods: ['GET', 'POST', 'PUT', 'DELETE'],
      exposedHeaders: ['location', 'retry-after'],
    });
}

/** Slows down who guesses keys: after too many wrong ones an address is refused for a minute, right ones included. */
export function guardKeys(
  app: FastifyInstance,
  limits: Limits,
): (request: FastifyRequest, work: () => Promise<string>) => Promise<string> {
  const failures = app.createRateLimit({
    max: limits.failedKeysPerMinute,
    timeWindow: '1 minute',
    keyGenerator: (request) => request.ip,
  });
  return async (request, work) => {
    try {
      return await work();
    } catch (error) {
      const counted = await failures(request);
      if (!counted.isAllowed && counted.isExceeded) {
        request.log.warn({ address: request.ip }, 'many wrong API keys');
        throw busy('caller', 'Too many wrong API keys were sent from your address. Try again in a minute.');
      }
      throw error;
    }
  };
}
