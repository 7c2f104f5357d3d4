/** A server on a free port with a folder of its own, for tests; and what they send and look at. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { type RunningServer, type ServeOptions, startServer } from '../../src/server/server.ts';

export interface TestServer extends RunningServer {
  readonly folder: string;
  json(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ readonly status: number; readonly headers: Headers; readonly body: never }>;
}

export async function startTestServer(options: Partial<ServeOptions> = {}): Promise<TestServer> {
  const folder = options.dataFolder ?? mkdtempSync(join(tmpdir(), 'sd-server-'));
  const server = await startServer({ model: pocketModel, port: 0, logLevel: 'silent', ...options, dataFolder: folder });
  return {
    ...server,
    folder,
    async json(method, path, body, headers = {}) {
      const response = await fetch(server.url + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: (text === '' ? undefined : JSON.parse(text)) as never,
      };
    },
    async stop(patience) {
      await server.stop(patience);
      if (!options.dataFolder) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A picture with a gradient and, where asked for, a white square in the middle of black (a mask). */
export function testImage(width: number, height: number, kind: 'gradient' | 'mask' = 'gradient'): Image<3> {
  const image = createImage(width, height, 3);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 3) {
      const inside = x >= width / 4 && x < (width * 3) / 4 && y >= height / 4 && y < (height * 3) / 4;
      image.data.set(
        kind === 'mask' ? (inside ? [255, 255, 255] : [0, 0, 0]) : [(x * 255) / width, (y * 255) / height, 128],
        i,
      );
    }
  }
  return image;
}

export async function png(image: Image): Promise<Uint8Array> {
  return nodeImageCodec.encode(image, { format: 'png' });
}

export async function base64Png(image: Image): Promise<string> {
  return Buffer.from(await png(image)).toString('base64');
}

export const decode = (base64: string): Promise<Image<3 | 4>> =>
  nodeImageCodec.decode(new Uint8Array(Buffer.from(base64, 'base64')));
