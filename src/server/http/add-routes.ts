/** The routes on a Fastify instance, with their checks and the errors of each API; for the program's own server, and for one that mounts them. */

import { createHash } from 'node:crypto';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createInFlight, type InFlight, type Ticket } from '../admission/in-flight.ts';
import { createPace, type Pace } from '../admission/pace.ts';
import { createPlaces, type Places } from '../admission/places.ts';
import type { ServerContext } from '../context.ts';
import type { Limits } from '../limits.ts';
import { routes } from '../routes/index.ts';
import { checkPart, clientSignal, problemIn, sendAnswer } from './answers.ts';
import { type ApiKey, createAuthenticator } from './api-keys.ts';
import { type Authenticate, nameOfCaller } from './host-authentication.ts';
import { serveApiPage } from './api-page.ts';
import { serveComfyuiPage } from './comfyui-page.ts';
import { readForm } from './form.ts';
import { readJsonBodies } from './json-body.ts';
import { createNotFound } from './not-found.ts';
import { openapiDocument } from './openapi.ts';
import { servePage } from './page.ts';
import { type Flavour, problemAnswer } from './problem-shapes.ts';
import type { Route } from './route.ts';
import { serveSocket } from './socket.ts';
import { addSafeguards, guardKeys } from './safeguards.ts';

export interface RouteOptions {
  readonly context: Omit<ServerContext, 'log'>;
  readonly keys: readonly ApiKey[];
  readonly authenticate?: Authenticate | undefined;
  /** Origins that CORS allows; none by default. `*` allows all, without credentials. */
  readonly corsOrigins: readonly string[];
  /** The folder of the web page; served at / if it exists. */
  readonly webFolder?: string | undefined;
  /** Write a line of the log for every GET too. Default true. */
  readonly logReads?: boolean | undefined;
}

/** A request's path and query below the prefix of the routes. */
const withoutBase = (url: string, base: string): string => (url.startsWith(base) ? url.slice(base.length) : url);

/** Error format to use, by the path; ComfyUI's have nothing in common. */
function flavourOf(url: string, { routeOptions }: FastifyRequest): Flavour {
  const { flavour } = (routeOptions?.config ?? {}) as { readonly flavour?: Flavour };
  if (flavour === 'comfyui') return flavour;
  if (url.startsWith('/sdapi/') || url.startsWith('/controlnet/') || url.startsWith('/internal/')) return 'a1111';
  if (url.startsWith('/v1beta/')) return 'gemini';
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
  /** For answers that are files. */
  readonly reading: Places;
  readonly pace: Pace;
  readonly authenticate: (request: FastifyRequest) => Promise<string>;
}

const bodyLimitOf = ({ takesPictures, bodyLimit = 'smallBodyBytes' }: Route, limits: Limits): number =>
  takesPictures ? limits.bodyBytes : Math.min(limits.bodyBytes, limits[bodyLimit]);

/** Bytes reserved for a request before it is read: its stated length, else the maximum. */
function bytesOf({ headers }: FastifyRequest, limit: number): number {
  if (headers['transfer-encoding'] !== undefined) return limit;
  return Math.min(limit, Number(headers['content-length'] ?? 0) || 0);
}

/** Whether a route answers with a file, which is read into memory. */
const isFile = ({ method, responseType = '' }: Route): boolean =>
  method === 'GET' && /^(?:image|application)\//.test(responseType);

function register(app: FastifyInstance, context: ServerContext, route: Route, doors: Doors): void {
  const bodyLimit = bodyLimitOf(route, context.limits);
  app.route({
    method: route.method,
    url: route.path,
    bodyLimit,
    config: { flavour: route.flavour, rawBody: route.rawBody ?? false },
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
      if (!route.open) await doors.pace.begin(admitted.owner, admitted.ticket.underWay);
      const given =
        route.form && request.isMultipart()
          ? route.form(await readForm(request, bodyLimit, context.limits))
          : request.body;
      const checked = {
        body: checkPart('body', route.body, given),
        query: checkPart('query', route.query, request.query),
        params: checkPart('path', route.params, request.params),
        ...admitted,
        signal,
        origin: `${request.protocol}://${request.host}${context.base}`,
        raw: request,
      };
      const send = async (): Promise<FastifyReply> => {
        // It may have waited for its place.
        if (signal.aborted && isFile(route)) throw signal.reason;
        const answer = await route.handle(context, checked);
        return sendAnswer(reply, answer, { ticket: admitted.ticket, seconds: context.limits.answerSeconds });
      };
      return isFile(route) ? doors.reading.run(admitted.owner || request.ip, send) : send();
    },
  });
}

/** The document is built once, because it is much larger than a request for it. */
function serveDocument(app: FastifyInstance, { version, base }: ServerContext): void {
  const document = Buffer.from(JSON.stringify(openapiDocument(routes, version, base)));
  const etag = `"${createHash('sha256').update(document).digest('hex').slice(0, 32)}"`;
  app.get('/openapi.json', async (request, reply) => {
    reply.headers({ etag, 'cache-control': 'no-cache' });
    if (request.headers['if-none-match'] === etag) return reply.code(304).send();
    return reply.type('application/json; charset=utf-8').send(document);
  });
}

export type AnswerError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Answers an error in the format of the API that was asked. */
export function createProblemAnswer({ queue, metrics, base }: RouteOptions['context']): AnswerError {
  /** Seconds until there will be room: as long as the jobs that wait take, between one second and a minute. */
  const retryAfter = async (): Promise<number> => {
    const { queued } = await queue.counts().catch(() => ({ queued: 0 }));
    return Math.min(60, Math.max(1, Math.ceil(queued * metrics.secondsPerJob())));
  };
  return async (error, request, reply) => {
    const problem = problemIn(error);
    // A caller that went away is nobody's fault, and would fill the log.
    const hasGone = reply.raw.destroyed && error instanceof Error && error.name === 'AbortError';
    if (problem.status >= 500 && problem.code !== 'busy' && !hasGone)
      request.log.error({ err: error, url: request.url.split('?')[0] }, 'a request failed');
    const { status, body } = problemAnswer(flavourOf(withoutBase(request.url, base), request), problem);
    if (problem.retryAfter !== undefined) reply.header('retry-after', String(await retryAfter()));
    if (status === 401) reply.header('www-authenticate', 'Bearer, Basic realm="stable-diffusion-ts"');
    // FastAPI always answers in JSON.
    await reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
  };
}

/** One line of the log for each request. */
function logRequests(app: FastifyInstance, context: ServerContext, logReads: boolean): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const { statusCode: status, elapsedTime } = reply;
    context.metrics.request(request.method, route, status, elapsedTime / 1000);
    const isRead = request.method === 'GET' && status < 400;
    const line = { method: request.method, route, status, ms: Math.round(elapsedTime) };
    if (logReads || !isRead) request.log.info(line, 'request');
    else request.log.debug(line, 'request');
  });
}

/** Adds the routes to an instance, below its prefix. */
export async function addRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { context: given, keys, corsOrigins, webFolder, authenticate, logReads = true } = options;
  const { limits, base } = given;
  const answerProblem = createProblemAnswer(given);
  const context: ServerContext = { ...given, log: app.log };
  app.setErrorHandler((error, request, reply) => answerProblem(error, request, reply));
  const notFound = createNotFound(routes);
  app.setNotFoundHandler(async (request, reply) => {
    const path = withoutBase(request.url, base);
    const { status, headers, body } = notFound(request.method, path, flavourOf(path, request));
    await reply.code(status).headers(headers).type('application/json; charset=utf-8').send(JSON.stringify(body));
  });
  const ownerOf = ownerReader(context, keys, authenticate);
  await addSafeguards(app, { limits, corsOrigins, hasKeys: keys.length > 0 || authenticate !== undefined, ownerOf });
  logRequests(app, context, logReads);
  readJsonBodies(app, { values: limits.bodyElements, depth: limits.jsonDepth });
  await app.register(multipart);
  const guarded = guardKeys(app, limits);
  const doors: Doors = {
    admitted: new WeakMap(),
    inFlight: createInFlight(limits),
    reading: createPlaces(limits.filesReadAtOnce),
    pace: createPace(limits.requestsBegunAtOnce),
    authenticate: (request) => guarded(request, () => ownerOf(request)),
  };
  for (const route of routes) register(app, context, route, doors);
  await serveSocket(app, context, doors.authenticate);
  serveDocument(app, context);
  serveApiPage(app, routes, context);
  if (context.comfyui.pageFolder !== undefined) await serveComfyuiPage(app, context.comfyui.pageFolder);
  else await servePage(app, webFolder);
}

/** The caller's name, by its key or a signed link, which is nobody's. Throws `forbidden`. */
function ownerReader(
  { links, base }: ServerContext,
  keys: readonly ApiKey[],
  given: RouteOptions['authenticate'],
): (request: FastifyRequest) => Promise<string> {
  const byKey = createAuthenticator(keys);
  // The safeguards ask, and then the route.
  const known = new WeakMap<FastifyRequest, Promise<string>>();
  const ask = async (request: FastifyRequest): Promise<string> => {
    const link = /^\/api\/v1\/results\/([0-9a-f]{64})\.\w{1,8}\?/.exec(withoutBase(request.url, base))?.[1];
    const { expires, signature } = (request.query ?? {}) as Record<string, string | undefined>;
    if (link && links.isValid(link, expires, signature)) return '';
    return given ? nameOfCaller(given, request) : byKey(request.headers);
  };
  return (request) => {
    const name = known.get(request) ?? ask(request);
    known.set(request, name);
    return name;
  };
}
