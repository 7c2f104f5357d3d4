/** Writing tar archives (POSIX.1-2017, ustar): ordinary files of short names, without times and owners, so that the same files are the same bytes. */

const block = 512;

/** The blocks of one file. Names have at most 100 bytes of ASCII, files less than 2^33 bytes. */
export function* tarFile(name: string, data: Uint8Array): Generator<Uint8Array, void, void> {
  const header = new Uint8Array(block);
  const put = (text: string, at: number): void => header.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  put(name, 0);
  put(octal(0o644, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(data.length, 11), 124);
  put(octal(0, 11), 136);
  put(' '.repeat(8), 148);
  put('0', 156);
  put('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)}\0 `, 148);
  yield header;
  yield data;
  const rest = data.length % block;
  if (rest > 0) yield new Uint8Array(block - rest);
}

/** The end of an archive. */
export const tarEnd: Uint8Array = new Uint8Array(2 * block);
