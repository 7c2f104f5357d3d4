/** Bodies of requests as FastAPI reads them: JSON by its name or without any name; what goes by another name is text, which no route takes for fields. */

import type { FastifyInstance } from 'fastify';

/** Maximum nesting depth of lists and objects. Deeper ones can be parsed but not serialised: `JSON.stringify` recurses. */
const deepest = 64;

/** True if a value is nested deeper; computed without recursion. */
function isTooDeep(value: unknown): boolean {
  const open: { readonly value: object; readonly depth: number }[] = [];
  const add = (inner: unknown, depth: number): void => {
    if (typeof inner === 'object' && inner !== null) open.push({ value: inner, depth });
  };
  add(value, 1);
  for (let next = open.pop(); next; next = open.pop()) {
    if (next.depth > deepest) return true;
    for (const inner of Array.isArray(next.value) ? next.value : Object.values(next.value)) add(inner, next.depth + 1);
  }
  return false;
}

const refusal = (message: string): Error => Object.assign(new Error(message), { statusCode: 400 });

/** A body without content is none: clients post `interrupt` with a JSON content type and nothing in it. */
function parseJson(text: string): unknown {
  if (text === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refusal(`The body is not JSON: ${cause instanceof Error ? cause.message.slice(0, 200) : ''}`);
  }
  if (isTooDeep(value)) throw refusal(`The body has lists or objects more than ${deepest} deep in each other.`);
  return value;
}

export function readJsonBodies(app: FastifyInstance): void {
  const add = (type: string | RegExp, parse: (text: string, named: boolean) => unknown): void => {
    app.addContentTypeParser(type, { parseAs: 'string' }, (request, body, done) => {
      try {
        done(null, parse(String(body), request.headers['content-type'] !== undefined));
      } catch (error) {
        done(error as Error);
      }
    });
  };
  app.removeContentTypeParser(['application/json', 'text/plain']);
  add('application/json', parseJson);
  add(/^application\/[\w.-]+\+json\b/, parseJson);
  // A route without a body ignores its type.
  add('*', (text, named) => (named ? text || undefined : parseJson(text)));
}
