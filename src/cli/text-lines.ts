/** The lines of a file or of standard input, as UTF-8. Only LF and CRLF end a line, so that JSON strings stay whole. */

import { createReadStream } from 'node:fs';
import { fileError } from '../files/byte-source-node.ts';

/** Lines in turn; `-` is `input`. A line break at the very end begins no further line. Throws `file-not-found`, `file-access`. */
export async function* textLines(path: string, input: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of path === '-' ? input : createReadStream(path)) {
      const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield withoutReturn(line);
    }
  } catch (cause) {
    throw cause instanceof Error && 'syscall' in cause ? fileError(path, cause) : cause;
  }
  rest += decoder.decode();
  if (rest !== '') yield withoutReturn(rest);
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
