/**
 * Bodies in chunks (RFC 9112, section 7.1). Node makes an object of each chunk, so that a body in chunks of one byte would take some two
 * hundred times its bytes, and the time of everybody else: small chunks are joined, and a body of too many of them is not read on.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';

/** Chunks that any body may have, and bytes that each further one must have on average. */
const free = 512;
const least = 64;
/** Smaller chunks are copied together into blocks. */
const small = 1024;
const blockSize = 16_384;

/** Node's parser: its functions have numbers, and one of them is `parserOnBody`. */
type Parser = Record<string, unknown>;

/** Joins the small chunks of a request's body. One of too many is answered with 413, or its connection is closed if it is answered already. */
export function joinChunks(request: IncomingMessage, response: ServerResponse): void {
  if (request.headers['transfer-encoding'] === undefined) return;
  const push = request.push.bind(request);
  let [chunks, bytes, used] = [0, 0, 0];
  let block: Buffer | undefined;
  const flush = (): boolean => {
    if (!block || used === 0) return true;
    const whole = block.subarray(0, used);
    [block, used] = [undefined, 0];
    return push(whole);
  };
  const add = (chunk: Buffer): boolean => {
    if (chunk.length >= small) return flush() && push(chunk);
    const isFlushed = used + chunk.length <= blockSize || flush();
    block ??= Buffer.allocUnsafeSlow(blockSize);
    if (used === 0) setImmediate(flush);
    used += chunk.copy(block, used);
    return isFlushed;
  };
  // After an answer Node takes the rest off the wire, uncounted.
  (request as IncomingMessage & { _dump(): void })._dump = () => void request.resume();
  request.push = (chunk: Buffer | null): boolean => {
    if (chunk === null) {
      flush();
      return push(null);
    }
    chunks++;
    bytes += chunk.length;
    if (chunks <= free + bytes / least) return add(chunk);
    request.push = () => true;
    readNoMore(request, response);
    return true;
  };
}

function readNoMore(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  skipRest(socket as typeof socket & { readonly parser?: Parser | null });
  socket.pause();
  if (response.writableEnded || request.listenerCount('error') === 0) {
    socket.destroy();
    return;
  }
  response.once('finish', () => socket.destroy());
  const message = `The body comes in more than ${free} chunks of less than ${least} bytes. Send larger chunks, or give its length.`;
  request.emit('error', Object.assign(new Error(message), { statusCode: 413 }));
}

/** Lets Node's parser pass over the rest of what it has read, which may be ten thousand chunks. */
function skipRest({ parser }: { readonly parser?: Parser | null }): void {
  const key = Object.keys(parser ?? {}).find((name) => (parser?.[name] as { name?: unknown })?.name === 'parserOnBody');
  if (!parser || key === undefined) return;
  const onBody = parser[key];
  parser[key] = undefined;
  // Parsers are used again for other connections.
  process.nextTick(() => {
    parser[key] = onBody;
  });
}
