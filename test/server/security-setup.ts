/** Requests that the security tests send as bytes. */

import { connect, type Socket } from 'node:net';

export const key = 'a-secret-of-alice';
export const limits = { bodyBytes: 2 ** 20, inputPixels: 512 * 512, requestSeconds: 1 };
export const small = { prompt: 'x', steps: 1, width: 64, height: 64 };

/** Sends bytes as they are, and gives what came back until the server ended the connection. */
export function raw(to: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(to);
    const socket: Socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(answer) : reject(error),
    );
    socket.on('close', () => resolve(answer));
  });
}
