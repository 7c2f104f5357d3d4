/** The lines of a file or of standard input, in UTF-8 or, with a byte order mark, UTF-16. Only LF and CRLF end a line, so that JSON strings stay whole. */

import { StableDiffusionError } from '../errors.ts';
import { fileError } from '../files/byte-source-node.ts';
import { fileChunks } from '../files/open-node.ts';
import { encodingOf, notUtf8 } from '../files/text-encoding.ts';

/** The most characters of a line. */
const longest = 2 ** 22;

/**
 * Lines in turn; `-` is `input`. A line break at the very end begins no further line. Throws `file-not-found`, `file-access`,
 * `file-corrupt` for another encoding, and `too-large` for a line of more than 4,194,304 characters.
 */
export async function* textLines(path: string, input: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const named = path === '-' ? 'Standard input' : path;
  let decoder: TextDecoder | undefined;
  const decoded = (bytes?: Uint8Array): string => {
    try {
      decoder ??= new TextDecoder(encodingOf(bytes ?? new Uint8Array()), { fatal: true });
      const text = decoder.decode(bytes, { stream: bytes !== undefined });
      if (!text.includes('\0')) return text;
    } catch {}
    throw notUtf8(named);
  };
  let parts: string[] = [];
  let length = 0;
  const add = (part: string): void => {
    length += part.length;
    if (length > longest)
      throw new StableDiffusionError('too-large', `${named} has a line of more than ${longest} characters.`);
    parts.push(part);
  };
  const line = (): string => {
    const text = parts.join('');
    parts = [];
    length = 0;
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  };
  try {
    for await (const chunk of path === '-' ? input : fileChunks(path)) {
      const [first = '', ...others] = decoded(chunk).split('\n');
      add(first);
      for (const part of others) {
        yield line();
        add(part);
      }
    }
  } catch (cause) {
    throw cause instanceof Error && 'syscall' in cause ? fileError(path, cause) : cause;
  }
  add(decoded());
  if (length > 0) yield line();
}
