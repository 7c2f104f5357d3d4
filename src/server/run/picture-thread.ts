/** Image processing in a worker thread, so that the server still answers during the seconds that a large picture takes. */

import { Worker } from 'node:worker_threads';
import { StableDiffusionError } from '../../errors.ts';
import type { Image } from '../../image/image.ts';
import { type Enlargement, enlarge } from '../../image/enlarge.ts';
import { composeInpainted, type Overlay } from '../../image/inpaint-region.ts';

export type PictureTask =
  | { readonly kind: 'enlarge'; readonly image: Image<3>; readonly enlargement: Enlargement }
  | { readonly kind: 'compose'; readonly overlay: Overlay; readonly made: Image<3> };

/** Next to this file, with the same extension: source or compiled. */
const workerFile = new URL(
  import.meta.url.endsWith('.ts') ? './picture-worker.ts' : './picture-worker.js',
  import.meta.url,
);

/** Pixels up to which starting a thread takes longer than the work. */
const small = 256 * 256;

/** Threads at work; more pictures wait their turn. */
const maximumThreads = 2;
let working = 0;
const waiting: (() => void)[] = [];

async function inThread<T>(task: PictureTask): Promise<T> {
  if (working >= maximumThreads) await new Promise<void>((resolve) => waiting.push(resolve));
  working++;
  try {
    const worker = new Worker(workerFile, { workerData: task });
    return await new Promise<T>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () =>
        reject(new StableDiffusionError('engine-failed', 'The image worker exited before it finished.')),
      );
    });
  } finally {
    working--;
    waiting.shift()?.();
  }
}

export async function enlargeOffThread(image: Image<3>, enlargement: Enlargement): Promise<Image<3>> {
  const { width, height } = enlargement;
  if (image.width === width && image.height === height) return image;
  return Math.max(image.width * image.height, width * height) <= small
    ? enlarge(image, enlargement)
    : inThread({ kind: 'enlarge', image, enlargement });
}

/** `composeInpainted` on a generated picture. */
export async function composeOffThread(overlay: Overlay, made: Image<3>): Promise<Image<3>> {
  const { width, height } = overlay.original;
  return width * height <= small ? composeInpainted(overlay, made) : inThread({ kind: 'compose', overlay, made });
}
