/** Server-sent events (WHATWG HTML, 9.2) of an iterator, with a comment now and then so that proxies keep the connection. */

import { Readable } from 'node:stream';
import type { ServerEvent } from './route.ts';

function eventText({ event, id, data }: ServerEvent): string {
  return `${event ? `event: ${event}\n` : ''}${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`;
}

/** The events as text. A client that does not read holds the events back, not the server's memory. */
export function eventStream(events: AsyncIterable<ServerEvent>): Readable {
  let wanted = (): void => {};
  const stream = new Readable({
    highWaterMark: 2 ** 16,
    read() {
      wanted();
    },
  });
  const timer = setInterval(() => {
    if (stream.readableLength === 0) stream.push(': still here\n\n');
  }, 15_000);
  const send = async (): Promise<void> => {
    for await (const event of events) {
      if (stream.destroyed) return;
      if (stream.push(eventText(event))) continue;
      await new Promise<void>((resolve) => {
        wanted = resolve;
      });
    }
  };
  stream.on('close', () => {
    clearInterval(timer);
    wanted();
  });
  stream.push(': hello\n\n');
  send().then(
    () => stream.push(null),
    (error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return stream;
}
