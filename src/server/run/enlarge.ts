/** Resampling in a worker thread: seconds for a large picture, in which the server still answers. */

import { Worker } from 'node:worker_threads';
import { StableDiffusionError } from '../../errors.ts';
import { createImage, type Image } from '../../image/image.ts';

export interface Enlargement {
  readonly width: number;
  readonly height: number;
  /** Keep the proportions and cut what stands over; else it is stretched. */
  readonly crop: boolean;
  readonly filter: 'lanczos' | 'nearest';
}

export interface EnlargeTask extends Enlargement {
  readonly image: Image<3>;
}

/** Beside this file, under the name this one has: source or compiled. */
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './enlarge-worker.ts' : './enlarge-worker.js', import.meta.url);

/** Threads at work; more pictures wait their turn. */
const most = 2;
let working = 0;
const waiting: (() => void)[] = [];

export async function enlargeOffThread(image: Image<3>, enlargement: Enlargement): Promise<Image<3>> {
  if (image.width === enlargement.width && image.height === enlargement.height) return image;
  if (working >= most) await new Promise<void>((resolve) => waiting.push(resolve));
  working++;
  try {
    const task: EnlargeTask = { image, ...enlargement };
    const worker = new Worker(workerFile, { workerData: task });
    const data = await new Promise<Uint8Array>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new StableDiffusionError('engine-failed', 'The picture could not be enlarged.')));
    });
    return createImage(enlargement.width, enlargement.height, 3, data);
  } finally {
    working--;
    waiting.shift()?.();
  }
}
