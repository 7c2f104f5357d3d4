/** The worker thread of picture-thread.ts. */

import { parentPort, workerData } from 'node:worker_threads';
import { enlarge } from './enlarge.ts';
import type { PictureTask } from './picture-thread.ts';
import { preparePictures } from './prepare-pictures.ts';

const task = workerData as PictureTask;
parentPort?.postMessage(task.kind === 'enlarge' ? enlarge(task.image, task.enlargement) : preparePictures(task.picture, task.sketch, task.request));
