/**
 * Requests on a connection are answered one after another. Node parses all that has arrived at once, so a client that pipelines thousands of
 * requests and reads no answer would have thousands of answers made: here each waits until the one before it is out.
 */

import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { joinChunks } from './body-chunks.ts';

type Request = readonly [request: IncomingMessage, response: ServerResponse];

/** Wraps a server's listener. A connection on which more than `most` requests wait is closed. */
export function gateConnections(listener: RequestListener, most: number): RequestListener {
  const waiting = new WeakMap<Socket, Request[]>();
  const run = (socket: Socket, queue: Request[]): void => {
    const next = queue[0];
    if (!next || socket.destroyed) return;
    const [request, response] = next;
    response.once('close', () => {
      queue.shift();
      run(socket, queue);
    });
    listener(request, response);
  };
  return (request, response) => {
    const { socket } = request;
    if (socket.destroyed) return;
    joinChunks(request, response);
    const queue = waiting.get(socket) ?? [];
    waiting.set(socket, queue);
    queue.push([request, response]);
    if (queue.length === 1) run(socket, queue);
    else if (queue.length > most) stopReading(socket);
  };
}

/** Ends a connection, and with it the parsing of what has arrived: a read has room for thousands of requests. */
function stopReading(socket: Socket & { readonly parser?: { onIncoming?: unknown } | null }): void {
  // Node's parser goes on in a destroyed connection. It stops after a request that an answer of 2 takes for another protocol's.
  if (socket.parser) socket.parser.onIncoming = () => 2;
  socket.destroy();
}

/** The bound of open connections. */
export function boundConnections(server: Server, most: number): void {
  server.maxConnections = most;
}
