/** The pictures made in this browser, in IndexedDB: available after a reload and offline. */

import { isFull } from '../engines/model-store.ts';
import type { Settings, Task } from '../settings/settings.ts';

export interface Picture {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly task: Task;
  /** The settings of this picture: its own seed, a batch of one. */
  readonly settings: Settings;
  readonly model: string;
  readonly engine: string;
  /** The settings of its whole batch. */
  readonly seconds: number;
  readonly file: Blob;
  readonly flagged?: boolean;
}

/** The stored form. WebKit cannot store Blobs in private windows, so their bytes are stored. */
interface KeptPicture extends Omit<Picture, 'file'> {
  readonly file: Blob | { readonly bytes: ArrayBuffer; readonly type: string };
}

async function withBytes(picture: Picture): Promise<KeptPicture> {
  return { ...picture, file: { bytes: await picture.file.arrayBuffer(), type: picture.file.type } };
}

const fileOf = ({ file }: KeptPicture): Blob =>
  file instanceof Blob ? file : new Blob([file.bytes], { type: file.type });

const store = 'pictures';

function finished<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export interface PictureDatabase {
  /** The newest first. */
  all(): Promise<readonly Picture[]>;
  put(pictures: readonly Picture[]): Promise<void>;
  remove(ids: readonly string[]): Promise<void>;
}

/** Opens the database; one in memory where the browser allows none (private windows). */
export async function openPictureDatabase(): Promise<PictureDatabase> {
  let database: IDBDatabase;
  try {
    const request = indexedDB.open('stable-diffusion', 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore(store, { keyPath: 'id' }).createIndex('createdAt', 'createdAt');
    database = await finished(request);
  } catch {
    return { all: async () => [], put: async () => {}, remove: async () => {} };
  }
  const change = (work: (pictures: IDBObjectStore) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(store, 'readwrite');
      transaction.oncomplete = () => resolve();
      // The reason is known when it is given up, not yet when one of its requests fails.
      transaction.onabort = () => reject(transaction.error ?? new Error('storage is full'));
      work(transaction.objectStore(store));
    });
  return {
    async all() {
      const found = (await finished(
        database.transaction(store).objectStore(store).index('createdAt').getAll(),
      )) as KeptPicture[];
      // Pictures of the page's first version lack the syntax.
      return found.reverse().map((picture) => ({
        ...picture,
        file: fileOf(picture),
        settings: { ...picture.settings, promptSyntax: picture.settings.promptSyntax ?? 'plain' },
      }));
    },
    async put(pictures) {
      const keep = (list: readonly KeptPicture[]): Promise<void> =>
        change((kept) => {
          for (const picture of list) kept.put(picture);
        });
      await keep(pictures).catch(async (error: unknown) => {
        if (isFull(error)) throw error;
        await keep(await Promise.all(pictures.map(withBytes)));
      });
    },
    remove: (ids) =>
      change((kept) => {
        for (const id of ids) kept.delete(id);
      }),
  };
}

const addresses = new WeakMap<Blob, string>();

/** An address of a file in memory, the same each time. */
export function urlOf(file: Blob): string {
  let url = addresses.get(file);
  if (url === undefined) {
    url = URL.createObjectURL(file);
    addresses.set(file, url);
  }
  return url;
}

/** File name of a saved picture: the time and the first words of its prompt. */
export function fileName({ createdAt, settings, file }: Picture): string {
  const words = settings.prompt
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const time = new Date(createdAt).toISOString().slice(0, 19).replace(/[:T]/g, '-');
  return `${time}${words ? `-${words}` : ''}-${settings.seed}.${file.type === 'image/jpeg' ? 'jpg' : file.type === 'image/webp' ? 'webp' : 'png'}`;
}

export function download(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = urlOf(file);
  link.download = name;
  link.click();
}
