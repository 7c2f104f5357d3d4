/** The HTTP server: Fastify with the table of routes. What a request may do is settled here; what it does, in its route. */

import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { z } from 'zod';
import type { ServerContext } from '../context.ts';
import { routes } from '../routes/index.ts';
import { type ApiKey, createAuthenticator } from './api-keys.ts';
import { eventStream } from './event-stream.ts';
import { readForm } from './form.ts';
import { readJsonBodies } from './json-body.ts';
import { createNotFound } from './not-found.ts';
import { openapiDocument } from './openapi.ts';
import { checkOrigin } from './origin-guard.ts';
import { servePage } from './page.ts';
import { type Problem, problemOf, validationProblem } from './problem.ts';
import { type Flavour, problemAnswer } from './problem-shapes.ts';
import type { Answer, Route } from './route.ts';

export interface AppOptions {
  readonly context: Omit<ServerContext, 'log'>;
  readonly keys: readonly ApiKey[];
  /** Origins that CORS allows; none by default. `*` allows all, without credentials. */
  readonly corsOrigins: readonly string[];
  /** The folder of the web page, served at / if it exists. */
  readonly webFolder?: string | undefined;
  readonly logger: FastifyBaseLogger;
}

/** Error format to use. */
function flavourOf(url: string): Flavour {
  if (url.startsWith('/sdapi/') || url.startsWith('/controlnet/') || url.startsWith('/internal/')) return 'a1111';
  return url.startsWith('/v1/') ? 'openai' : 'own';
}

/** Fires when the client has gone before it was answered. */
function clientSignal(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const gone = (): void => {
    if (!reply.raw.writableFinished) controller.abort();
  };
  // It may have gone while its body was read. `inject` of tests has no socket.
  if (request.raw.socket?.destroyed) gone();
  // On the answer alone: a connection lives on, and so would its listeners.
  reply.raw.once('close', gone);
  return controller.signal;
}

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  if ('json' in answer) {
    // The bytes, as Fastify sends neither null nor text as JSON by itself.
    return reply
      .code(answer.status ?? 200)
      .headers(answer.headers ?? {})
      .type('application/json; charset=utf-8')
      .send(JSON.stringify(answer.json ?? null));
  }
  if ('bytes' in answer)
    return reply
      .headers(answer.headers ?? {})
      .type(answer.mediaType)
      .send(Buffer.from(answer.bytes.buffer, answer.bytes.byteOffset, answer.bytes.byteLength));
  return reply
    .headers({ 'cache-control': 'no-cache', 'x-accel-buffering': 'no' })
    .type('text/event-stream')
    .send(eventStream(answer.events));
}

class Invalid extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

function check(place: 'body' | 'query' | 'path', schema: z.ZodType | undefined, value: unknown): unknown {
  if (!schema) return undefined;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Invalid(validationProblem(place, result.error));
}

function register(
  app: FastifyInstance,
  context: ServerContext,
  route: Route,
  ownerOf: (request: FastifyRequest) => string,
): void {
  app.route({
    method: route.method,
    url: route.path,
    // Before the body is read: strangers cannot make the server parse anything.
    onRequest: async (request) => void (route.open || ownerOf(request)),
    async handler(request, reply) {
      const owner = route.open ? '' : ownerOf(request);
      const signal = clientSignal(request, reply);
      const given =
        route.form && request.isMultipart()
          ? route.form(await readForm(request, context.limits.bodyBytes))
          : request.body;
      const answer = await route.handle(context, {
        body: check('body', route.body, given),
        query: check('query', route.query, request.query),
        params: check('path', route.params, request.params),
        owner,
        signal,
        origin: `${request.protocol}://${request.host}`,
        raw: request,
      });
      return send(reply, answer);
    },
  });
}

/** Builds the server; `app.inject` and `app.listen` work on it. */
export async function createApp({
  context: given,
  keys,
  corsOrigins,
  webFolder,
  logger,
}: AppOptions): Promise<FastifyInstance> {
  const requestTimeout = given.limits.requestSeconds * 1000;
  const app: FastifyInstance = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: given.limits.bodyBytes,
    requestTimeout,
    http: { headersTimeout: requestTimeout, connectionsCheckingInterval: Math.min(30_000, requestTimeout / 2) },
    keepAliveTimeout: 75_000,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: false,
    // Failures before routing: a malformed or too long path.
    frameworkErrors: (error, request, reply) => void answerProblem(error, request, reply),
  });
  const context: ServerContext = { ...given, log: app.log };
  const authenticate = createAuthenticator(keys);
  const guard = { origins: corsOrigins, hasKeys: keys.length > 0 };

  /** Seconds until there will be room: as long as the jobs that wait take, between one second and a minute. */
  const retryAfter = async (): Promise<number> => {
    const { queued } = await context.queue.counts().catch(() => ({ queued: 0 }));
    return Math.min(60, Math.max(1, Math.ceil(queued * context.metrics.secondsPerJob())));
  };
  const answerProblem = async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const problem = error instanceof Invalid ? error.problem : problemOf(error, 1);
    if (problem.status >= 500 && problem.code !== 'busy')
      request.log.error({ err: error, url: request.url.split('?')[0] }, 'a request failed');
    const { status, body } = problemAnswer(flavourOf(request.url), problem);
    if (problem.retryAfter !== undefined) reply.header('retry-after', String(await retryAfter()));
    if (status === 401) reply.header('www-authenticate', 'Bearer, Basic realm="stable-diffusion-ts"');
    // FastAPI always answers in JSON.
    await reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
  };
  app.setErrorHandler((error, request, reply) => answerProblem(error, request, reply));
  const notFound = createNotFound(routes);
  app.setNotFoundHandler(async (request, reply) => {
    const { status, headers, body } = notFound(request.method, request.url, flavourOf(request.url));
    await reply.code(status).headers(headers).type('application/json; charset=utf-8').send(JSON.stringify(body));
  });
  app.addHook('onRequest', async (request) => checkOrigin(request.headers, guard));
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    context.metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    request.log.info(
      { method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      'request',
    );
  });

  readJsonBodies(app);
  await app.register(multipart);
  if (corsOrigins.length > 0)
    await app.register(cors, {
      origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
      maxAge: 600,
      methods: ['GET', 'POST', 'DELETE'],
      exposedHeaders: ['location', 'retry-after'],
    });

  const ownerOf = (request: FastifyRequest): string => {
    const link = /^\/api\/v1\/results\/([0-9a-f]{64})\.\w+\?/.exec(request.url)?.[1];
    const { expires, signature } = (request.query ?? {}) as Record<string, string | undefined>;
    if (link && context.links.isValid(link, expires, signature)) return '';
    return authenticate(request.headers);
  };
  for (const route of routes) register(app, context, route, ownerOf);
  const document = openapiDocument(routes, context.version);
  app.get('/openapi.json', async () => document);

  await servePage(app, webFolder);
  return app;
}
