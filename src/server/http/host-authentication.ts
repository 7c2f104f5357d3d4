/** Who calls, where the application that mounts the routes knows it instead of keys. */

import type { FastifyRequest } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';

/** The caller's name; throws, or rejects, for strangers. An error with a status from 400 to 499 is answered with it, any other with 401. */
export type Authenticate = (request: FastifyRequest) => string | Promise<string>;

const isRefusal = (error: unknown): boolean => {
  if (error instanceof StableDiffusionError) return true;
  const status: unknown = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500;
};

/** Throws `forbidden` (401) for whom the application does not name. */
export async function nameOfCaller(authenticate: Authenticate, request: FastifyRequest): Promise<string> {
  let cause: unknown;
  try {
    const name: unknown = await authenticate(request);
    if (typeof name === 'string' && name !== '') return name;
  } catch (error) {
    if (isRefusal(error)) throw error;
    cause = error;
    request.log.warn({ err: error }, 'authenticate named nobody');
  }
  throw new StableDiffusionError('forbidden', 'The application does not know who calls.', {
    cause,
    details: { status: 401 },
  });
}
