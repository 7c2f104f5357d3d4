/**
 * Reading the files of `torch.save` (`.ckpt`, `.pt`, `.pth`, `.bin`), without PyTorch and without running anything in them:
 * the zip format since PyTorch 1.6 (caffe2/serialize/inline_container.h: `NAME/data.pkl`, `NAME/data/KEY`, `NAME/byteorder`) and the
 * legacy format before it (torch/serialization.py, `_legacy_load`: five pickles, then the storages).
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { type Unpickled, unpickle } from './pickle.ts';
import type { PickleHost } from './pickle-machine.ts';
import { describeValue, type PythonValue } from './python-value.ts';
import { isKind, storageType, torchHost } from './globals.ts';
import { nameTensors } from './names.ts';
import type { TorchStorage, TorchTensor } from './python-value.ts';
import { isContiguous, materialise, viewSpan, wholeNumber } from './tensor.ts';
import { createBudget } from '../../files/budget.ts';
import { elementCount } from '../../tensor/tensor.ts';
import { findEntry, type WeightEntry, type WeightSource } from '../../weights/weight-source.ts';
import { openZip } from '../../files/zip.ts';
import type { ZipRecord } from '../../files/zip-record.ts';

/** Location of the bytes of storages. */
interface StorageBytes {
  readonly bigEndian: boolean;
  read(key: string, offset: number, length: number): Promise<Uint8Array>;
  /** Offset of a storage's first byte in the file, if it is known and the bytes are stored unchanged. */
  offset(key: string): number | undefined;
  /** Called once with the needed keys, before any is read. */
  prepare(keys: ReadonlySet<string>): Promise<void>;
}

/** The first number of the legacy format, `MAGIC_NUMBER` of torch/serialization.py. */
const legacyMagic = 0x1950a86a20f9469cfc6cn;
const legacyVersion = 1001;
const maximumPickle = 64 * 2 ** 20;
const newestVersion = 10;
/** Tensors may share storages or repeat their elements; all together may be this much more than the file. */
const freeBytes = 64 * 2 ** 20;
const maximumGrowth = 16;

/** Opens a file of the zip format. Its pickle is read, its tensors are not. */
export async function openTorchZip(source: ByteSource): Promise<WeightSource> {
  const { label } = source;
  const zip = await openZip(source);
  const folder = topFolder(label, zip.records.keys());
  const find = (name: string): ZipRecord | undefined => zip.records.get(`${folder}/${name}`);
  const small = async (name: string): Promise<string | undefined> => {
    const record = find(name);
    if (!record) return undefined;
    if (record.size > 100) throw corrupt(label, `its record ${name} takes ${record.size} bytes`);
    return new TextDecoder().decode(await zip.read(record)).trim();
  };

  const pickle = find('data.pkl');
  if (!pickle) throw corrupt(label, 'it has no record data.pkl; it is some other zip archive');
  if (find('constants.pkl'))
    throw unsupported(
      label,
      'it is a TorchScript archive, a program and not a checkpoint. Save the state dict of the module',
    );
  if (pickle.size > maximumPickle)
    throw unsupported(label, `its data.pkl takes ${pickle.size} bytes, and ${maximumPickle} is the most that is read`);
  const version = await small('version');
  if (version !== undefined && !(/^[0-9]+$/.test(version) && Number(version) <= newestVersion)) {
    throw unsupported(
      label,
      `its format version is ${JSON.stringify(version)}, and ${newestVersion} is the newest known`,
    );
  }
  const order = (await small('byteorder')) ?? 'little';
  if (order !== 'little' && order !== 'big')
    throw corrupt(label, `its byte order is ${JSON.stringify(order)}, which is neither little nor big`);

  const recordOf = (key: string): ZipRecord => {
    const record = find(`data/${key}`);
    if (!record) throw corrupt(label, `the record data/${key} of a tensor is missing`);
    return record;
  };
  const persistent: PickleHost['persistent'] = (id) => {
    const storage = parseStorage(label, id);
    const { size } = recordOf(storage.key);
    const wanted = storage.count * storage.type.size;
    if (size !== wanted)
      throw corrupt(
        label,
        `the record data/${storage.key} has ${size} bytes, but its ${storage.count} elements of ${storage.type.name} need ${wanted}`,
      );
    return storage;
  };
  const { value } = unpickle(await zip.read(pickle), label, torchHost(label, persistent));

  const offsets = new Map<string, number>();
  return torchSource(source, value, {
    bigEndian: order === 'big',
    read: (key, offset, length) => zip.read(recordOf(key), offset, length),
    offset: (key) => offsets.get(key),
    async prepare(keys) {
      if (source.remote) return;
      for (const key of keys) {
        const record = recordOf(key);
        const offset = await zip.dataOffset(record);
        if (!record.deflated) offsets.set(key, offset);
      }
    },
  });
}

/** PyTorch takes the name of the folder from the first record, and requires every record in it. */
function topFolder(label: string, names: Iterable<string>): string {
  let folder: string | undefined;
  for (const name of names) {
    folder ??= name.split('/')[0] ?? '';
    if (
      folder === '' ||
      folder === '.' ||
      folder === '..' ||
      !name.startsWith(`${folder}/`) ||
      name.split(/[/\\]/).includes('..')
    ) {
      throw corrupt(
        label,
        `its record ${JSON.stringify(name.slice(0, 80))} is not in the same folder as the others, as in files of PyTorch`,
      );
    }
  }
  if (folder === undefined) throw corrupt(label, 'it is an empty zip archive');
  return folder;
}

/** Opens a file of the legacy format, reading its pickles and the length of each storage. */
export async function openTorchLegacy(source: ByteSource): Promise<WeightSource> {
  const { label } = source;
  const storages = new Map<string, TorchStorage>();
  const host = torchHost(label, (id) => {
    const storage = parseStorage(label, id);
    const known = storages.get(storage.key);
    if (known && (known.type !== storage.type || known.count !== storage.count))
      throw corrupt(label, `its storage ${storage.key} is described in two ways`);
    if (!known) storages.set(storage.key, { ...storage, start: 0 });
    return windowOf(label, storage, id);
  });
  const next = pickleReader(source, host);

  if ((await next()) !== legacyMagic) {
    throw unsupported(label, 'it is a plain Python pickle; only those of torch.save are supported');
  }
  const version = await next();
  if (version !== legacyVersion)
    throw unsupported(
      label,
      `its protocol version is ${describeValue(version)}, and ${legacyVersion} is the one known`,
    );
  await next(); // The byte order of the writing system; storages are little-endian in any case.
  const value = await next();
  const keys = await next();
  if (!isKind(keys, 'list') || !keys.items.every((key) => typeof key === 'string'))
    throw corrupt(label, 'the list of its storages is malformed');

  const offsets = new Map<string, number>();
  let at = next.position();
  for (const key of keys.items) {
    const storage = storages.get(String(key));
    if (!storage || offsets.has(storage.key))
      throw corrupt(label, `its list of storages has ${describeValue(key)}, which no tensor has or another one has`);
    const count = new DataView((await source.read(at, 8)).buffer).getBigUint64(0, true);
    if (count !== BigInt(storage.count))
      throw corrupt(label, `its storage ${storage.key} has ${count} elements, and ${storage.count} were announced`);
    const length = storage.count * storage.type.size;
    offsets.set(storage.key, at + 8);
    at += 8 + length;
    if (at > source.size) {
      throw new StableDiffusionError(
        'file-truncated',
        `${label} is truncated: ${at - source.size} bytes of its storage ${storage.key} are missing. Get it again.`,
      );
    }
  }
  for (const key of storages.keys())
    if (!offsets.has(key)) throw corrupt(label, `its storage ${JSON.stringify(key)} is missing`);
  return torchSource(source, value, {
    bigEndian: false,
    read: (key, offset, length) => source.read((offsets.get(key) ?? 0) + offset, length),
    offset: (key) => offsets.get(key),
    async prepare() {},
  });
}

/** Reads one pickle after the other; what it holds of the file grows as far as a pickle needs. */
function pickleReader(source: ByteSource, host: PickleHost): { (): Promise<PythonValue>; position(): number } {
  let start = 0;
  let held: Uint8Array = new Uint8Array(0);
  let heldStart = 0;
  const next = async (): Promise<PythonValue> => {
    for (;;) {
      const whole = heldStart + held.length === source.size;
      try {
        const { value, end }: Unpickled = unpickle(held, source.label, host, start - heldStart);
        start = heldStart + end;
        return value;
      } catch (cause) {
        if (whole || !(cause instanceof StableDiffusionError) || cause.code !== 'file-truncated') throw cause;
        if (held.length >= maximumPickle)
          throw unsupported(source.label, `one of its pickles takes more than ${maximumPickle} bytes`);
        const size = Math.min(source.size - start, Math.max(2 ** 16, 4 * held.length), maximumPickle);
        held = await source.read(start, size);
        heldStart = start;
      }
    }
  };
  return Object.assign(next, { position: () => start });
}

/** ('storage', class, key, location, count) and, in the legacy format, a window or None. */
function parseStorage(label: string, id: PythonValue): TorchStorage {
  const [tag, type, key, , count] =
    isKind(id, 'tuple') && (id.items.length === 5 || id.items.length === 6) ? id.items : [];
  if (tag !== 'storage' || !isKind(type, 'global'))
    throw corrupt(label, `${describeValue(id)} is not the id of a storage`);
  const element = storageType(type);
  if (!element) throw corrupt(label, `${describeValue(type)} is not a storage class`);
  if (element.name.startsWith('q'))
    throw unsupported(label, `a tensor has the quantised element type ${element.name}. Save it dequantised`);
  if (typeof key !== 'string' && typeof key !== 'number')
    throw corrupt(label, `${describeValue(key ?? null)} is not the key of a storage`);
  return {
    kind: 'storage',
    key: String(key),
    type: element,
    count: wholeNumber(label, count ?? null, 'storage'),
    start: 0,
  };
}

/** (key, offset, size): part of a storage that another one owns (files from before PyTorch 0.4). */
function windowOf(label: string, storage: TorchStorage, id: PythonValue): TorchStorage {
  const window = isKind(id, 'tuple') ? id.items[5] : undefined;
  if (window === undefined || window === null) return storage;
  if (!isKind(window, 'tuple') || window.items.length !== 3)
    throw corrupt(label, `${describeValue(window)} is not a part of a storage`);
  const start = wholeNumber(label, window.items[1] ?? null, 'storage');
  const count = wholeNumber(label, window.items[2] ?? null, 'storage');
  if (start + count > storage.count) throw corrupt(label, `part of a storage leaves its ${storage.count} elements`);
  return { ...storage, start, count };
}

/** The view of the object that a file holds. */
async function torchSource(source: ByteSource, root: PythonValue, bytes: StorageBytes): Promise<WeightSource> {
  const { label, path } = source;
  const { tensors, metadata } = nameTensors(label, root);
  const entries = new Map<string, WeightEntry>();
  const keys = new Set<string>();
  const budget = createBudget(label, { bytes: freeBytes + maximumGrowth * source.size });
  for (const [name, { type, shape, storage }] of tensors) {
    if (!type.dtype)
      throw unsupported(
        label,
        `its tensor ${JSON.stringify(name)} has the element type ${type.name}. Convert it to float32`,
      );
    budget.bytes(elementCount(shape) * type.size, 'the sum of its tensors');
    entries.set(name, { name, dtype: type.dtype, shape });
    keys.add(storage.key);
  }
  await bytes.prepare(keys);

  const inPlace = (view: TorchTensor): boolean => isContiguous(view) && (!bytes.bigEndian || view.type.size === 1);
  return {
    label,
    entries,
    metadata,
    async read(name, signal) {
      throwIfAborted(signal);
      const view = findEntry(label, tensors, name);
      const { dtype } = findEntry(label, entries, name);
      const { offset, length } = viewSpan(view);
      return materialise(view, dtype, await bytes.read(view.storage.key, offset, length), bytes.bigEndian);
    },
    locate(name) {
      const view = findEntry(label, tensors, name);
      const start = bytes.offset(view.storage.key);
      if (path === undefined || start === undefined || !inPlace(view)) return undefined;
      const { offset, length } = viewSpan(view);
      return { path, offset: start + offset, length, identity: source.identity };
    },
    close: () => source.close(),
  };
}

function corrupt(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError(
    'file-corrupt',
    `${label} is not a valid file of torch.save: ${reason}. Get it again.`,
  );
}

function unsupported(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError('file-unsupported', `${label} cannot be read: ${reason}.`);
}
