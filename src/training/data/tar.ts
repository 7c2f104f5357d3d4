/**
 * Reading tar archives as a stream (POSIX.1-2017, pax Interchange Format; ustar; GNU long names and base-256 sizes). Ordinary files only:
 * folders, links and devices are ignored, and nothing is ever written, so any name is safe.
 */

import { StableDiffusionError } from '../../errors.ts';

export interface TarFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** Offset of its first header block in the archive: reading can restart there. */
  readonly offset: number;
}

export interface TarOptions {
  /** For messages. */
  readonly label: string;
  /** Offset of the bytes in the archive. Default 0. */
  readonly offset?: number;
  /** Larger files are ignored. Default 2^28 bytes. */
  readonly maximumFile?: number;
  /** Selects the files to read; others are returned without bytes. Default: all. */
  readonly wanted?: (name: string) => boolean;
  /** Called for links and for files that are too large. */
  readonly onSkip?: (name: string, reason: string) => void;
}

const block = 512;
const maximumHeader = 2 ** 20;

/**
 * The files of an archive, each when it has been read whole. Throws `file-truncated` where the archive ends within a file or a header or
 * is empty, `file-corrupt` at a header that is none; both after the files before.
 */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array>,
  options: TarOptions,
): AsyncGenerator<TarFile, void, void> {
  const { label, maximumFile = 2 ** 28, onSkip, wanted = () => true } = options;
  const input = takeBytes(chunks);
  let position = options.offset ?? 0;
  let start = position;
  let longName: string | undefined;
  let extended: ReadonlyMap<string, string> = new Map();
  const cut = (): StableDiffusionError =>
    new StableDiffusionError(
      'file-truncated',
      `The archive ${label} is truncated: it ends at byte ${position + input.left()}, within a file. Get it again.`,
    );
  try {
    for (;;) {
      const header = await input.take(block);
      if (!header) {
        if (input.left() > 0 || position === 0) throw cut();
        return; // without the two empty blocks of the end, which some writers leave away
      }
      if (header.every((byte) => byte === 0)) return;
      if (!checksumIsRight(header)) {
        throw new StableDiffusionError(
          'file-corrupt',
          `The archive ${label} is damaged: the file header at byte ${position} is missing. Obtain it again.`,
        );
      }
      position += block;
      const size = Number(extended.get('size') ?? sizeOf(header));
      const type = String.fromCharCode(header[156] as number);
      if (!Number.isSafeInteger(size) || size < 0)
        throw new StableDiffusionError(
          'file-corrupt',
          `The archive ${label} is damaged: a file at byte ${start} has the size ${size}. Get it again.`,
        );
      const padded = Math.ceil(size / block) * block;
      const isExtension = type === 'L' || type === 'K' || type === 'x' || type === 'g';
      const name = extended.get('path') ?? longName ?? nameOf(header);
      const isFile = type === '0' || type === '\0' || type === '7';
      if (isFile && !wanted(name)) {
        yield { name, data: new Uint8Array(0), offset: start };
        if (!(await input.skip(padded))) throw cut();
      } else if ((isFile && size <= maximumFile) || (isExtension && size <= maximumHeader)) {
        const data = await input.take(size);
        // The padding of the last file may be missing.
        if (!data || (!(await input.skip(padded - size)) && isExtension)) throw cut();
        if (type === 'L') longName = text(data);
        else if (type === 'x') extended = paxRecords(data);
        else if (isFile) yield { name, data, offset: start };
      } else {
        if (!isExtension && type !== '5')
          onSkip?.(
            name,
            isFile ? `it has ${size} bytes, and at most ${maximumFile} are read` : 'it is a link or no ordinary file',
          );
        if (!(await input.skip(padded))) throw cut();
      }
      position += padded;
      if (isExtension) continue;
      longName = undefined;
      extended = new Map();
      start = position;
    }
  } finally {
    await input.close();
  }
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function nameOf(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const isUstar = text(header.subarray(257, 262)) === 'ustar' && header[262] === 0; // GNU's has a space there, and other things in the prefix
  const prefix = isUstar ? text(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Octal digits, or, with the first bit set, a big-endian number. */
function sizeOf(header: Uint8Array): number {
  const field = header.subarray(124, 136);
  if ((field[0] as number) & 0x80)
    return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] as number) & 0x7f);
  const digits = text(field).trim();
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** The sum of all bytes with those of the checksum as spaces; some old writers used signed bytes. */
function checksumIsRight(header: Uint8Array): boolean {
  const wanted = Number.parseInt(text(header.subarray(148, 156)).trim(), 8);
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < block; i++) {
    const byte = i >= 148 && i < 156 ? 32 : (header[i] as number);
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  return wanted === unsigned || wanted === signed;
}

/** `length key=value\n`, again and again; the length counts itself. */
function paxRecords(data: Uint8Array): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = Number(new TextDecoder().decode(data.subarray(at, space)));
    if (space < 0 || !Number.isSafeInteger(length) || length <= space - at) break;
    const record = new TextDecoder().decode(data.subarray(space + 1, at + length - 1));
    const equals = record.indexOf('=');
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

interface ByteTaker {
  /** Exactly so many bytes; undefined if fewer are left. */
  take(count: number): Promise<Uint8Array | undefined>;
  /** False if fewer are left. */
  skip(count: number): Promise<boolean>;
  /** Bytes that have been read and not taken. */
  left(): number;
  close(): Promise<void>;
}

function takeBytes(chunks: AsyncIterable<Uint8Array>): ByteTaker {
  const iterator = chunks[Symbol.asyncIterator]();
  let waiting: Uint8Array[] = [];
  let available = 0;
  let ended = false;
  const more = async (): Promise<void> => {
    const next = await iterator.next();
    if (next.done) ended = true;
    else {
      waiting.push(next.value);
      available += next.value.length;
    }
  };
  const drop = (count: number): void => {
    available -= count;
    for (let rest = count; rest > 0; ) {
      const first = waiting[0] as Uint8Array;
      if (first.length > rest) waiting[0] = first.subarray(rest);
      else waiting.shift();
      rest -= Math.min(first.length, rest);
    }
  };
  return {
    async take(count) {
      while (available < count && !ended) await more();
      if (available < count) return undefined;
      const out = new Uint8Array(count);
      let filled = 0;
      for (const chunk of waiting) {
        if (filled === count) break;
        const part = chunk.subarray(0, count - filled);
        out.set(part, filled);
        filled += part.length;
      }
      drop(count);
      return out;
    },
    async skip(count) {
      let rest = count;
      while (rest > 0) {
        if (available === 0 && !ended) await more();
        if (available === 0 && ended) return false;
        const step = Math.min(rest, available);
        drop(step);
        rest -= step;
      }
      return true;
    },
    left: () => available,
    async close() {
      waiting = [];
      await iterator.return?.();
    },
  };
}
