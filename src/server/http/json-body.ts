/** Bodies of requests as FastAPI reads them: JSON by its name or without any name; what goes by another name is text, which no route takes for fields. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createJsonParser } from './json-thread.ts';
import type { JsonLimits } from './parse-json.ts';
import { readBody } from './read-body.ts';

/** Bytes of a body of another type that are kept, for the error. */
const longestText = 65_536;

export function readJsonBodies(app: FastifyInstance, limits: JsonLimits): void {
  const parser = createJsonParser();
  app.addHook('onClose', () => parser.close());
  const add = (type: string | RegExp, parse: (body: Buffer, named: boolean) => unknown): void => {
    app.addContentTypeParser(type, async (request: FastifyRequest, payload: IncomingMessage) => {
      const { rawBody } = request.routeOptions.config as { readonly rawBody?: boolean };
      const body = await readBody(request, payload, request.routeOptions.bodyLimit);
      if (rawBody) return body.length > 0 ? body : undefined;
      return parse(body, request.headers['content-type'] !== undefined);
    });
  };
  const json = (body: Buffer): unknown => parser.parse(body, limits);
  app.removeContentTypeParser(['application/json', 'text/plain']);
  add('application/json', json);
  add(/^application\/[\w.-]+\+json\b/, json);
  // A route without a body ignores its type. Of a text it matters only that it is one.
  add('*', (body, named) => (named ? body.toString('utf8', 0, longestText) || undefined : json(body)));
}
