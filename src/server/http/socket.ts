/** `/ws` and `/api/ws`: the socket of ComfyUI's API. Callers are known by their key as everywhere; a browser sends it with its address. */

import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';
import type { ServerContext } from '../context.ts';

/** Bytes of one message of a client: it only ever says what it can do. */
const longestMessage = 2 ** 16;

/** Milliseconds between two signs of life. A client that misses one is let go. */
const heartbeat = 30_000;

interface Ponging {
  readonly bufferedAmount: number;
  pong(data: Buffer): void;
  terminate(): void;
}

/** Answers a sign of life. A client that sends many and reads none of the answers is let go. */
export function pong(socket: Ponging, data: Buffer): void {
  if (socket.bufferedAmount > longestMessage) socket.terminate();
  else socket.pong(data);
}

export async function serveSocket(
  app: FastifyInstance,
  { comfyui: { hub }, limits }: ServerContext,
  authenticate: (request: FastifyRequest) => Promise<string>,
): Promise<void> {
  await app.register(websocket, {
    // One message at a time: a read has room for ten thousand of them, and others wait meanwhile.
    options: { maxPayload: longestMessage, allowSynchronousEvents: false, autoPong: false },
  });
  const owners = new WeakMap<FastifyRequest, string>();
  for (const path of ['/ws', '/api/ws']) {
    app.route({
      method: 'GET',
      url: path,
      config: { flavour: 'comfyui' },
      async onRequest(request) {
        const owner = await authenticate(request);
        if (hub.count(owner) >= limits.eventStreamsPerCaller)
          throw new StableDiffusionError(
            'busy',
            `You have ${limits.eventStreamsPerCaller} sockets open; close some of them.`,
            { details: { scope: 'caller' } },
          );
        owners.set(request, owner);
      },
      // A request that asks for no socket.
      handler: async (_request, reply) => reply.code(426).header('upgrade', 'websocket').send(),
      wsHandler(socket, request) {
        const { clientId } = (request.query ?? {}) as Record<string, unknown>;
        const client = hub.connect(
          owners.get(request) ?? '',
          typeof clientId === 'string' ? clientId : undefined,
          socket,
        );
        let isAlive = true;
        const beat = setInterval(() => {
          if (!isAlive) socket.terminate();
          isAlive = false;
          socket.ping();
        }, heartbeat);
        beat.unref();
        socket.on('pong', () => {
          isAlive = true;
        });
        socket.on('ping', (data) => pong(socket, data));
        socket.on('message', (data, isBinary) => {
          if (!isBinary) client.receive(String(data));
        });
        socket.on('error', () => socket.terminate());
        socket.on('close', () => {
          clearInterval(beat);
          client.close();
        });
      },
    });
  }
}
