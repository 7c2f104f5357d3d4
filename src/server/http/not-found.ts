/** The answer for an unknown route: 404, or 405 if the path has other methods. */

import type { Flavour } from './problem-shapes.ts';
import type { Route } from './route.ts';

export interface NotFound {
  readonly status: 404 | 405;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** `/api/v1/jobs/:id` as an expression for paths. */
const pattern = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')}/?$`);

export function createNotFound(routes: readonly Route[]): (method: string, url: string, flavour: Flavour) => NotFound {
  const table = routes.map(({ method, path }) => ({ method, path: pattern(path) }));
  return (method, url, flavour) => {
    const path = url.split('?', 1)[0] ?? '';
    const allowed = [...new Set(table.flatMap((route) => (route.path.test(path) ? [route.method] : [])))];
    // A parameter that is too long for its route is 404, not 405.
    const other = allowed.length > 0 && !allowed.some((known) => known === method);
    const message = other ? 'Method Not Allowed' : 'There is nothing here.';
    const bodies: { readonly [F in Flavour]: unknown } = {
      a1111: { detail: other ? message : 'Not Found' },
      openai: {
        error: {
          message,
          type: 'invalid_request_error',
          param: null,
          code: other ? 'method_not_supported' : 'unknown_url',
        },
      },
      gemini: { error: { code: other ? 405 : 404, message, status: other ? 'UNIMPLEMENTED' : 'NOT_FOUND' } },
      comfyui: { error: { type: 'not-found', message, details: '', extra_info: {} }, node_errors: {} },
      own: { error: { code: other ? 'method-not-allowed' : 'not-found', message } },
    };
    const methods = allowed.flatMap((known) => (known === 'GET' ? ['GET', 'HEAD'] : [known]));
    const headers: Record<string, string> = other ? { allow: methods.join(', ') } : {};
    return { status: other ? 405 : 404, headers, body: bodies[flavour] };
  };
}
