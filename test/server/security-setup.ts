/** Requests that the security tests send as bytes. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer, type TestServer } from './start.ts';

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

export interface SecurityServers {
  readonly server: TestServer;
  /** Asks for the key of alice. */
  readonly keyed: TestServer;
  stop(): Promise<void>;
}

/** A server with a page in a folder that also holds `secret.txt`, and a server that asks for a key. */
export async function startSecurityServers(): Promise<SecurityServers> {
  const folder = mkdtempSync(join(tmpdir(), 'sd-security-'));
  mkdirSync(join(folder, 'web'));
  writeFileSync(join(folder, 'web/index.html'), '<title>page</title>');
  writeFileSync(join(folder, 'secret.txt'), 'root:of this machine');
  const server = await startTestServer({ limits, webFolder: join(folder, 'web'), policy: { fetchUrls: true } });
  const keyed = await startTestServer({ keys: [{ name: 'alice', secret: key }], limits });
  return {
    server,
    keyed,
    async stop() {
      await server.stop();
      await keyed.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
