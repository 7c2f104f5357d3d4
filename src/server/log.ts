/** The server's log: lines of JSON for programs, or short lines for people at a terminal. */

import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import pretty from 'pino-pretty';
import { withoutSecrets } from './log-secrets.ts';

export const logFormats = ['json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Writes to standard error. */
export function createLogger(level = 'info', format: LogFormat = 'json'): FastifyBaseLogger {
  const formatters = { log: (entry: object) => withoutSecrets(entry) as Record<string, unknown> };
  const stream =
    format === 'json'
      ? pino.destination(2)
      : pretty({ destination: 2, sync: true, singleLine: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' });
  return pino({ level, formatters }, stream);
}
