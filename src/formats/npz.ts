/** NumPy's archives (`.npz`): a zip of `.npy` files, as `numpy.savez` and `savez_compressed` write them; positional arrays are `arr_0`, `arr_1`, … */

import { StableDiffusionError } from '../errors.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { crc32 } from '../files/crc32.ts';
import { openZip } from '../files/zip.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { readNpy, readNpyTexts, writeNpy, writeNpyTexts } from './npy.ts';

export interface Npz {
  readonly names: readonly string[];
  /** Throws `file-corrupt` where the archive lacks it. */
  read(name: string): Promise<Tensor>;
  /** An array of texts, or of whole numbers as their digits. */
  readTexts(name: string): Promise<string[]>;
}

/** `PK`: how every zip archive starts, an empty one too. */
const zipStart = 0x504b;

/** Throws `file-unsupported` for a file that is no archive: a picture, or one array alone. */
async function checkArchive(source: ByteSource): Promise<void> {
  const start = await source.read(0, Math.min(source.size, 6));
  if (start.length >= 2 && ((start[0] as number) << 8) + (start[1] as number) === zipStart) return;
  const isArray = new TextDecoder('latin1').decode(start) === '\x93NUMPY';
  throw new StableDiffusionError(
    'file-unsupported',
    isArray
      ? `${source.label} is one array (.npy), and an archive of arrays (.npz) is needed. Write it with numpy.savez.`
      : `${source.label} is not an .npz: it does not start as a zip archive. Give a file that numpy.savez or sd sample --npz has written.`,
  );
}

/** Opens an archive; the source is the caller's to close. */
export async function openNpz(source: ByteSource): Promise<Npz> {
  await checkArchive(source);
  const { records, read } = await openZip(source);
  const names = [...records.keys()].flatMap((name) => /^(.*)\.npy$/.exec(name)?.[1] ?? []);
  const bytesOf = (name: string): Promise<Uint8Array> => {
    const record = records.get(`${name}.npy`);
    if (!record)
      throw new StableDiffusionError(
        'file-corrupt',
        `${source.label} has no array ${name}; it has ${names.join(', ') || 'none'}.`,
      );
    return read(record);
  };
  return {
    names,
    read: async (name) => readNpy(await bytesOf(name), `${name} of ${source.label}`),
    readTexts: async (name) => readNpyTexts(await bytesOf(name), `${name} of ${source.label}`),
  };
}

/** The bytes of an archive of arrays, of numbers or texts, stored and not compressed; at most 4 GiB. */
export function writeNpz(arrays: Readonly<Record<string, Tensor | readonly string[]>>): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const [array, content] of Object.entries(arrays)) {
    const name = new TextEncoder().encode(`${array}.npy`);
    const data = 'data' in content ? writeNpy(content) : writeNpyTexts(content);
    const common = (bytes: Uint8Array, from: number): DataView => {
      const view = new DataView(bytes.buffer);
      view.setUint16(from, 20, true);
      view.setUint32(from + 10, crc32(data), true);
      view.setUint32(from + 14, data.length, true);
      view.setUint32(from + 18, data.length, true);
      view.setUint16(from + 22, name.length, true);
      return view;
    };
    const local = new Uint8Array(30 + name.length);
    common(local, 4).setUint32(0, 0x04034b50, true);
    local.set(name, 30);
    const entry = new Uint8Array(46 + name.length);
    const view = common(entry, 6);
    view.setUint32(0, 0x02014b50, true);
    view.setUint16(4, 20, true);
    view.setUint32(42, at, true);
    entry.set(name, 46);
    parts.push(local, data);
    directory.push(entry);
    at += local.length + data.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  if (at + size + 22 > 0xffffffff)
    throw new StableDiffusionError('too-large', 'An .npz of more than 4 GiB cannot be written; split the arrays.');
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, directory.length, true);
  view.setUint16(10, directory.length, true);
  view.setUint32(12, size, true);
  view.setUint32(16, at, true);
  const whole = new Uint8Array(at + size + 22);
  let to = 0;
  for (const part of [...parts, ...directory, end]) {
    whole.set(part, to);
    to += part.length;
  }
  return whole;
}
