/** Server-sent events (WHATWG HTML, 9.2) of an iterator, with a comment now and then so that proxies keep the connection. */

import { Readable } from 'node:stream';
import type { ServerEvent } from './route.ts';

function eventText({ event, id, data }: ServerEvent): string {
  return `${event ? `event: ${event}\n` : ''}${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`;
}

export function eventStream(events: AsyncIterable<ServerEvent>): Readable {
  const stream = new Readable({ read() {} });
  const timer = setInterval(() => stream.push(': still here\n\n'), 15_000);
  const send = async (): Promise<void> => {
    for await (const event of events) {
      if (stream.destroyed) return;
      // A client that does not read holds the events back, not the server's memory.
      if (!stream.push(eventText(event)) && stream.readableLength > 2 ** 20)
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  stream.on('close', () => clearInterval(timer));
  stream.push(': hello\n\n');
  send().then(
    () => stream.push(null),
    (error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return stream;
}
