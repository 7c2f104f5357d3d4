/** A client of the socket that notes every message, as the recordings describe them. */

import sharp from 'sharp';
import { WebSocket } from 'ws';

export type SocketMessage =
  | { readonly type: string; readonly data: Record<string, unknown> }
  | { readonly binary: Record<string, unknown> };

export class SocketClient {
  readonly messages: SocketMessage[] = [];
  readonly #socket: WebSocket;
  #handled: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #taken = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data, isBinary) => {
      this.#handled = this.#handled.then(async () => {
        const message = isBinary
          ? { binary: await described(data as Buffer) }
          : (JSON.parse(String(data)) as SocketMessage);
        this.messages.push(message);
        this.#wake();
      });
    });
  }

  /** Connects; with a first message if one is given. */
  static async connect(url: string, clientId?: string, first?: unknown): Promise<SocketClient> {
    const query = clientId === undefined ? '' : `?clientId=${clientId}`;
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws${query}`);
    const client = new SocketClient(socket);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    if (first !== undefined) socket.send(JSON.stringify(first));
    return client;
  }

  /** Resolves when a message that came since the last `take` fits. */
  async until(fits: (message: SocketMessage, since: readonly SocketMessage[]) => boolean): Promise<void> {
    for (;;) {
      const since = this.messages.slice(this.#taken);
      if (since.some((message) => fits(message, since))) return;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`The socket said only ${JSON.stringify(since).slice(-600)}`)),
          30_000,
        );
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The messages since the last call. */
  take(): SocketMessage[] {
    const taken = this.messages.slice(this.#taken);
    this.#taken = this.messages.length;
    return taken;
  }

  close(): void {
    this.#socket.terminate();
  }
}

/** A binary message as the recordings describe it. */
async function described(data: Buffer): Promise<Record<string, unknown>> {
  const type = data.readUInt32BE(0);
  const second = data.readUInt32BE(4);
  const at = type === 4 ? 8 + second : 8;
  const { format = '', width, height } = await sharp(data.subarray(at)).metadata();
  const image = { format: format.toUpperCase(), size: [width, height], mode: 'RGB' };
  if (type === 4)
    return { type_word: type, bytes: '<n>', metadata: JSON.parse(data.subarray(8, at).toString()), image };
  return { type_word: type, bytes: '<n>', image_type_word: second, image };
}
