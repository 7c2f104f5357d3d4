/** What `npm run attack` sends: one scene for each kind of hostile request. */

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { deflateSync } from 'node:zlib';
import { encodePngChunk, encodePngFile } from '../../src/image/metadata/png-chunks.ts';

/** The key of the hostile caller. */
export const key = 'a-secret-of-alice';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** A black PNG with further chunks. */
function png(width: number, height: number, chunks: readonly Uint8Array[] = []): Uint8Array {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 2], 8);
  const pixels = deflateSync(Buffer.alloc((width * 3 + 1) * height), { level: 9 });
  return encodePngFile([
    encodePngChunk('IHDR', header),
    ...chunks,
    encodePngChunk('IDAT', new Uint8Array(pixels)),
    encodePngChunk('IEND', new Uint8Array(0)),
  ]);
}

/** A progressive JPEG of one real scan and many refinements that hold nothing. */
function emptyScans(side: number, scans: number): Uint8Array {
  const segment = (marker: number, data: readonly number[]): Buffer =>
    Buffer.from([0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255, ...data]);
  const table = (kind: number, symbol: number): Buffer =>
    segment(0xc4, [kind, 1, ...Array<number>(15).fill(0), symbol]);
  const refinement = Buffer.concat([segment(0xda, [1, 1, 0, 1, 63, 0]), Buffer.alloc(24, 0x7f)]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, [0, ...Array<number>(64).fill(1)]),
    segment(0xc2, [8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0]),
    table(0x00, 0),
    table(0x10, 0xe0),
    segment(0xda, [1, 1, 0, 0, 0, 0]),
    Buffer.alloc((side / 8) ** 2 / 8),
    ...Array<Buffer>(scans).fill(refinement),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** Without a body it is a GET. */
export type Post = (path: string, body: unknown) => Promise<unknown>;

/** Sends one raw text on several connections and reads nothing. */
async function flood(port: number, message: string, connections: number): Promise<void> {
  const sockets = Array.from({ length: connections }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(message);
    return socket;
  });
  await wait(3000);
  for (const socket of sockets) socket.destroy();
}

/** Pictures that are enlarged, blurred and shown; each is another, so that none is remembered. */
const largeWorkflow = (color: number): object => ({
  1: { class_type: 'EmptyImage', inputs: { width: 2048, height: 2048, batch_size: 8, color } },
  2: { class_type: 'ImageBlur', inputs: { image: ['1', 0], blur_radius: 31, sigma: 10 } },
  3: { class_type: 'PreviewImage', inputs: { images: ['2', 0] } },
});

/** A node that an operator wrote without bounds: its text is 2,000 times its input. */
export const ownNode = `export default {
  name: 'OwnText',
  required: { text: ['STRING', {}] },
  outputs: ['STRING'],
  run: ({ text }) => [text.repeat(2000)],
};`;

const many = (count: number, work: () => Promise<unknown>): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => work()));

export const scenes: Readonly<Record<string, (post: Post, port: number) => Promise<unknown>>> = {
  'pipelined documents': (_post, port) =>
    flood(port, 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(5000), 20),
  'bodies in chunks of one byte': async (_post, port) => {
    const head = `POST /sdapi/v1/png-info HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ${key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
    await flood(port, head + '1\r\na\r\n'.repeat(1_000_000), 20);
  },
  'digits in a number': (post) => post('/sdapi/v1/txt2img', { cfg_scale: `${'1'.repeat(1_000_000)}x` }),
  'zero bytes in EXIF': (post) => {
    const block = new Uint8Array(26 + 1_000_000);
    block.set([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x0e, 0, 2]);
    new DataView(block.buffer).setUint32(14, 1_000_000);
    new DataView(block.buffer).setUint32(18, 26);
    block[block.length - 1] = 0x41;
    return post('/sdapi/v1/png-info', { image: base64(png(8, 8, [encodePngChunk('eXIf', block)])) });
  },
  'settings of white space': (post) =>
    post('/sdapi/v1/txt2img', { infotext: `x${' '.repeat(500_000)}x\nSteps: 1, Sampler: Euler, Seed: 1, Size: 64x64` }),
  'a list of wrong elements': (post) => post('/sdapi/v1/img2img', { init_images: Array(10_000_000).fill(1) }),
  'bodies that wait': (post) => many(30, () => post('/sdapi/v1/png-info', { image: 'A'.repeat(29_000_000) })),
  'priority for all': (post) =>
    many(300, () => post('/api/v1/jobs', { steps: 20, width: 128, height: 128, priority: 'high' })),
  'the largest job': (post) => post('/api/v1/jobs', { steps: 150, width: 2048, height: 2048, iterations: 32 }),
  'compressed texts': (post) => {
    const bomb = new Uint8Array([...text('k\0\0'), ...deflateSync(Buffer.alloc(2 ** 20 + 2), { level: 9 })]);
    const chunk = encodePngChunk('zTXt', bomb);
    return post('/sdapi/v1/png-info', { image: base64(png(8, 8, Array(20_000).fill(chunk) as Uint8Array[])) });
  },
  'long prompts, cancelled': (post) =>
    many(100, () =>
      post('/api/v1/jobs', { batchSize: 32, steps: 1, width: 64, height: 64, prompt: '\u0001'.repeat(10_000) }),
    ),
  'empty scans in a JPEG': (post) => {
    const image = base64(emptyScans(4096, 4000));
    return many(4, () => post('/api/v1/pictures', { image }));
  },
  'a mask of one column': (post) => {
    const [picture, mask] = [base64(png(64, 64)), base64(png(1, 16_777_216))];
    return post('/sdapi/v1/img2img', { init_images: [picture], mask, mask_blur: 256, steps: 1, width: 64, height: 64 });
  },
  'empty chunks, read again and again': async (post) => {
    const chunks = Array(1_800_000).fill(encodePngChunk('aaAa', new Uint8Array(0))) as Uint8Array[];
    const stored = (await post('/api/v1/pictures', { image: base64(png(8, 8, chunks)) })) as ArrayBuffer | undefined;
    const id = /"id":"([0-9a-f]+)"/.exec(Buffer.from(stored ?? new ArrayBuffer(0)).toString())?.[1];
    return id === undefined ? undefined : many(10, () => post(`/api/v1/results/${id}.png`, undefined));
  },
  'event streams of a long prompt': async (post) => {
    const body = { batchSize: 32, steps: 150, width: 128, height: 128, prompt: '\u0001'.repeat(10_000) };
    const job = (await post('/api/v1/jobs', body)) as ArrayBuffer | undefined;
    const id = /"id":"([^"]+)"/.exec(Buffer.from(job ?? new ArrayBuffer(0)).toString())?.[1];
    return Promise.race([many(400, () => post(`/api/v1/jobs/${id}/events`, undefined)), wait(6000)]);
  },
  'large answers that nobody reads': async (post, port) => {
    const image = base64(png(4096, 4096, [encodePngChunk('aaAa', randomBytes(20_000_000))]));
    const stored = (await post('/api/v1/pictures', { image })) as ArrayBuffer | undefined;
    const id = /"id":"([0-9a-f]+)"/.exec(Buffer.from(stored ?? new ArrayBuffer(0)).toString())?.[1];
    const request = `GET /api/v1/results/${id}.png HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ${key}\r\n\r\n`;
    await flood(port, request, 300);
  },
  'a script of very many tiles': (post) => {
    const body = { init_images: [base64(png(2048, 2048))], steps: 1, width: 64, height: 64 };
    return post('/sdapi/v1/img2img', { ...body, script_name: 'SD upscale', script_args: ['', 63, 'None', 1] });
  },
  'workflows and sockets of ComfyUI': async (post, port) => {
    const upgrade = (i: number): string =>
      `GET /ws?clientId=${i} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ${key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${base64(randomBytes(16))}\r\n\r\n`;
    const sockets = Array.from({ length: 400 }, (_, i) => {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.pause();
      socket.write(upgrade(i));
      return socket;
    });
    let number = 0;
    await many(300, () =>
      post('/prompt', {
        prompt: largeWorkflow(++number),
        client_id: String(number),
        extra_data: { x: 'x'.repeat(1e6) },
      }),
    );
    await many(100, () => Promise.all(['/history', '/api/jobs', '/queue'].map((path) => post(path, undefined))));
    await many(20, () => post('/prompt', { prompt: Array(500_000).fill({}) }));
    for (const socket of sockets) socket.destroy();
  },
  "nodes of the operator's own": (post) =>
    many(300, () =>
      post('/prompt', {
        prompt: {
          1: { class_type: 'OwnText', inputs: { text: 'x'.repeat(9000) } },
          2: { class_type: 'PreviewAny', inputs: { source: ['1', 0] } },
        },
      }),
    ),
  'escapes in a body read exactly': (post) =>
    many(3, () => post('/sdapi/v1/png-info', { image: '\n'.repeat(14_000_000), exact: ',12345678901234567,' })),
  'forms of boundaries': async (_post, port) => {
    const body = `${'\r\n--b'.repeat(100_000)}--\r\n`;
    const head = `POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ${key}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${body.length}\r\n\r\n`;
    await flood(port, head + body, 200);
  },
  'all nodes, asked for at once': (post) => many(300, () => post('/object_info', undefined)),
  'previews of large batches': async (post) => {
    const graph = (color: number): object => ({
      1: { class_type: 'EmptyImage', inputs: { width: 2048, height: 2048, batch_size: 4, color } },
      2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
    });
    let number = 0;
    await many(20, () => post('/prompt', { prompt: graph(++number) }));
    await wait(15_000);
  },
  'large pictures to enlarge': (post) => {
    const image = base64(png(4096, 4096));
    return many(200, () =>
      post('/sdapi/v1/extra-single-image', { image, upscaler_1: 'Lanczos', upscaling_resize: 0.999 }),
    );
  },
};
