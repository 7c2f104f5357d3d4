/** The HTTP server: Fastify with the table of routes. What a request may do is settled here; what it does, in its route. */

import { createHash } from 'node:crypto';
import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import multipart from '@fastify/multipart';
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { createInFlight, type InFlight, type Ticket } from '../admission/in-flight.ts';
import type { ServerContext } from '../context.ts';
import type { Limits } from '../limits.ts';
import { routes } from '../routes/index.ts';
import { checkPart, clientSignal, problemIn, sendAnswer } from './answers.ts';
import { type ApiKey, createAuthenticator } from './api-keys.ts';
import { boundConnections, gateConnections } from './connection-gate.ts';
import { readForm } from './form.ts';
import { readJsonBodies } from './json-body.ts';
import { createNotFound } from './not-found.ts';
import { openapiDocument } from './openapi.ts';
import { servePage } from './page.ts';
import { type Flavour, problemAnswer } from './problem-shapes.ts';
import type { Route } from './route.ts';
import { addSafeguards, guardKeys } from './safeguards.ts';

export interface AppOptions {
  readonly context: Omit<ServerContext, 'log'>;
  readonly keys: readonly ApiKey[];
  /** Origins that CORS allows; none by default. `*` allows all, without credentials. */
  readonly corsOrigins: readonly string[];
  /** The folder of the web page; served at / if it exists. */
  readonly webFolder?: string | undefined;
  readonly logger: FastifyBaseLogger;
}

/** Error format to use. */
function flavourOf(url: string): Flavour {
  if (url.startsWith('/sdapi/') || url.startsWith('/controlnet/') || url.startsWith('/internal/')) return 'a1111';
  return url.startsWith('/v1/') ? 'openai' : 'own';
}

/** Who sends a request, and what it holds. */
interface Admitted {
  readonly owner: string;
  readonly ticket: Ticket;
}

interface Doors {
  readonly admitted: WeakMap<FastifyRequest, Admitted>;
  readonly inFlight: InFlight;
  readonly authenticate: (request: FastifyRequest) => Promise<string>;
}

const bodyLimitOf = ({ takesPictures }: Route, { bodyBytes, smallBodyBytes }: Limits): number =>
  takesPictures ? bodyBytes : Math.min(bodyBytes, smallBodyBytes);

/** Bytes reserved for a request before it is read: its stated length, else the maximum. */
function bytesOf({ headers }: FastifyRequest, limit: number): number {
  if (headers['transfer-encoding'] !== undefined) return limit;
  return Math.min(limit, Number(headers['content-length'] ?? 0) || 0);
}

function register(app: FastifyInstance, context: ServerContext, route: Route, doors: Doors): void {
  const bodyLimit = bodyLimitOf(route, context.limits);
  app.route({
    method: route.method,
    url: route.path,
    bodyLimit,
    // A stream of events has no end that a HEAD could wait for.
    exposeHeadRoute: route.method === 'GET' && route.responseType !== 'text/event-stream',
    // Before the body is read: strangers cannot make the server parse anything.
    async onRequest(request, reply) {
      const owner = route.open ? '' : await doors.authenticate(request);
      const ticket = doors.inFlight.enter(owner || `address ${request.ip}`, bytesOf(request, bodyLimit));
      reply.raw.once('close', () => ticket.leave());
      doors.admitted.set(request, { owner, ticket });
    },
    async handler(request, reply) {
      const admitted = doors.admitted.get(request);
      if (!admitted) throw new Error('A request came past the door.');
      const signal = clientSignal(request, reply);
      const given = route.form && request.isMultipart() ? route.form(await readForm(request, bodyLimit)) : request.body;
      const answer = await route.handle(context, {
        body: checkPart('body', route.body, given),
        query: checkPart('query', route.query, request.query),
        params: checkPart('path', route.params, request.params),
        ...admitted,
        signal,
        origin: `${request.protocol}://${request.host}`,
        raw: request,
      });
      return sendAnswer(reply, answer);
    },
  });
}

/** The document is built once, because it is much larger than a request for it. */
function serveDocument(app: FastifyInstance, version: string): void {
  const document = Buffer.from(JSON.stringify(openapiDocument(routes, version)));
  const etag = `"${createHash('sha256').update(document).digest('hex').slice(0, 32)}"`;
  app.get('/openapi.json', async (request, reply) => {
    reply.headers({ etag, 'cache-control': 'no-cache' });
    if (request.headers['if-none-match'] === etag) return reply.code(304).send();
    return reply.type('application/json; charset=utf-8').send(document);
  });
}

type AnswerError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => Promise<void>;

function openFastify(limits: Limits, logger: FastifyBaseLogger, onError: AnswerError): FastifyInstance {
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
      const server = createServer(http, gateConnections(listener as RequestListener, limits.pipelined));
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
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { context: given, keys, corsOrigins, webFolder, logger } = options;
  const { limits } = given;
  /** Seconds until there will be room: as long as the jobs that wait take, between one second and a minute. */
  const retryAfter = async (): Promise<number> => {
    const { queued } = await given.queue.counts().catch(() => ({ queued: 0 }));
    return Math.min(60, Math.max(1, Math.ceil(queued * given.metrics.secondsPerJob())));
  };
  const answerProblem = async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const problem = problemIn(error);
    if (problem.status >= 500 && problem.code !== 'busy')
      request.log.error({ err: error, url: request.url.split('?')[0] }, 'a request failed');
    const { status, body } = problemAnswer(flavourOf(request.url), problem);
    if (problem.retryAfter !== undefined) reply.header('retry-after', String(await retryAfter()));
    if (status === 401) reply.header('www-authenticate', 'Bearer, Basic realm="stable-diffusion-ts"');
    // FastAPI always answers in JSON.
    await reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
  };
  const app = openFastify(limits, logger, answerProblem);
  const context: ServerContext = { ...given, log: app.log };
  app.setErrorHandler((error, request, reply) => answerProblem(error, request, reply));
  const notFound = createNotFound(routes);
  app.setNotFoundHandler(async (request, reply) => {
    const { status, headers, body } = notFound(request.method, request.url, flavourOf(request.url));
    await reply.code(status).headers(headers).type('application/json; charset=utf-8').send(JSON.stringify(body));
  });
  const ownerOf = ownerReader(context, keys);
  await addSafeguards(app, { limits, corsOrigins, hasKeys: keys.length > 0, ownerOf });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    context.metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    request.log.info(
      { method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      'request',
    );
  });
  readJsonBodies(app, limits.bodyElements);
  await app.register(multipart);
  const guarded = guardKeys(app, limits);
  const doors: Doors = {
    admitted: new WeakMap(),
    inFlight: createInFlight(limits),
    authenticate: (request) => guarded(request, () => ownerOf(request)),
  };
  for (const route of routes) register(app, context, route, doors);
  serveDocument(app, context.version);
  await servePage(app, webFolder);
  return app;
}

/** The caller's name, by its key or a signed link, which is nobody's. Throws `forbidden`. */
function ownerReader({ links }: ServerContext, keys: readonly ApiKey[]): (request: FastifyRequest) => string {
  const authenticate = createAuthenticator(keys);
  return (request) => {
    const link = /^\/api\/v1\/results\/([0-9a-f]{64})\.\w{1,8}\?/.exec(request.url)?.[1];
    const { expires, signature } = (request.query ?? {}) as Record<string, string | undefined>;
    if (link && links.isValid(link, expires, signature)) return '';
    return authenticate(request.headers);
  };
}
