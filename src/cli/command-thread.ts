/** The thread that runs a command. It communicates with the process through messages to `process.ts`. */

import { parentPort, workerData } from 'node:worker_threads';
import type { RawOutput } from './command.ts';
import { runCli } from './program.ts';

export type StreamName = 'out' | 'err';

export interface CommandSetting {
  readonly words: readonly string[];
  readonly version: string;
  readonly out: Omit<RawOutput, 'write'>;
  readonly err: Omit<RawOutput, 'write'>;
}

export type FromCommand =
  | { readonly kind: 'write'; readonly stream: StreamName; readonly text: string }
  | { readonly kind: 'patience'; readonly milliseconds: number }
  /** One more signal that means Ctrl-C. */
  | { readonly kind: 'signal'; readonly signal: 'SIGUSR1' }
  /** A signal that the command wants to hear of. */
  | { readonly kind: 'listen'; readonly signal: 'SIGUSR1' }
  /** Requests standard input. */
  | { readonly kind: 'input' }
  | { readonly kind: 'exit'; readonly code: number };

export type ToCommand =
  | { readonly kind: 'abort' }
  | { readonly kind: 'heard'; readonly signal: 'SIGUSR1' }
  /** A piece of standard input; undefined at its end. */
  | { readonly kind: 'input'; readonly bytes: Uint8Array | undefined };

/** Standard input, read on demand. */
async function* inputOf(ask: () => void, pieces: (Uint8Array | undefined)[], arrival: () => Promise<void>) {
  ask();
  for (;;) {
    if (pieces.length === 0) await arrival();
    const piece = pieces.shift();
    if (piece === undefined) return;
    yield piece;
  }
}

async function main(port: NonNullable<typeof parentPort>, setting: CommandSetting): Promise<void> {
  const send = (message: FromCommand): void => port.postMessage(message);
  const controller = new AbortController();
  const pieces: (Uint8Array | undefined)[] = [];
  let arrived = (): void => {};
  let heard = (): void => {};
  port.on('message', (message: ToCommand) => {
    if (message.kind === 'abort') controller.abort();
    else if (message.kind === 'heard') heard();
    else {
      pieces.push(message.bytes);
      arrived();
    }
  });
  const arrival = (): Promise<void> =>
    new Promise((resolve) => {
      arrived = resolve;
    });
  const output = (stream: StreamName): RawOutput => ({
    ...setting[stream],
    write: (text) => send({ kind: 'write', stream, text }),
  });
  const code = await runCli(
    setting.words,
    {
      out: output('out'),
      err: output('err'),
      input: inputOf(() => send({ kind: 'input' }), pieces, arrival),
      environment: process.env,
      signal: controller.signal,
      now: () => performance.now(),
      onSignal(signal, callback) {
        heard = callback;
        send({ kind: 'listen', signal });
      },
      alsoStopAt: (signal) => send({ kind: 'signal', signal }),
      setPatience: (milliseconds) => send({ kind: 'patience', milliseconds }),
    },
    setting.version,
  );
  send({ kind: 'exit', code });
  port.close();
}

if (parentPort) await main(parentPort, workerData as CommandSetting);
